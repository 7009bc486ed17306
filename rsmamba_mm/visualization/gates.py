"""Which paths a classifier listened to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

COLOURS = ('#1565c0', '#ef6c00', '#2e7d32', '#6a1b9a', '#00838f', '#ad1457')


def draw_gates(weights: np.ndarray, orders: Sequence[str]) -> Figure:
    """What each block's gate gave to each path, as bars that fill the height.

    Args:
        weights (np.ndarray): ``(blocks, K)``, each row sums to one.
        orders (Sequence[str]): Names of the K scan orders.

    Returns:
        Figure: Of matplotlib, to show or to save.
    """
    figure = Figure(figsize=(6.4, 3.0), layout='constrained')
    axis = figure.add_subplot()
    blocks = np.arange(1, len(weights) + 1)
    below = np.zeros(len(weights))
    for k, name in enumerate(orders):
        share = weights[:, k]
        axis.bar(blocks, share, bottom=below, width=0.85, color=COLOURS[k % len(COLOURS)], label=name)
        below = below + share
    for k in range(1, len(orders)):
        axis.axhline(k / len(orders), color='white', linewidth=0.8, linestyle=':')
    axis.set_title('What the gates weigh the paths with', fontsize=10)
    axis.set(xlabel='block', ylabel='weight of the path', ylim=(0, 1), xlim=(0.4, len(weights) + 0.6))
    axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc='outside lower center', ncols=len(orders), fontsize=8)
    return figure
