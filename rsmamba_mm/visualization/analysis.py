"""Pictures of what a model costs, how far it sees, and how runs compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ._figures import save_figure
from .learning_curve import SCORES, Curve

COSTS = {
    'parameters': ('parameters (M)', 1e6),
    'multiply_adds': ('multiply-adds (G)', 1e9),
    'scans': ('operations of scans (G)', 1e9),
    'activations': ('kept for the backward (MiB)', 2**20),
}


def plot_complexity(modules: Sequence[Any], out: str | Path) -> Path:
    """Bars of what modules cost, of each cost beside each other.

    Args:
        modules (Sequence): :class:`~rsmamba_mm.models.complexity.ModuleComplexity`, the model first.
        out (str | Path): The picture to write.

    Returns:
        Path: The picture.
    """
    modules = [each for each in modules if any(getattr(each, cost) for cost in COSTS)]
    names = [each.name or '(all)' for each in modules]
    figure = Figure(figsize=(13, 1.4 + 0.26 * len(modules)), layout='constrained')
    axes = figure.subplots(1, len(COSTS), sharey=True)
    for axis, (cost, (label, unit)) in zip(axes, COSTS.items(), strict=True):
        values = [getattr(each, cost) / unit for each in modules]
        bars = axis.barh(names, values, color=['#455a64', *['#1565c0'] * (len(modules) - 1)])
        axis.bar_label(bars, [f'{v:.3g}' if v else '' for v in values], fontsize=7, padding=2)
        axis.set_xlabel(label, fontsize=9)
        axis.set_xlim(0, 1.2 * max(*values, 1e-9))
        axis.tick_params(labelsize=8)
    axes[0].invert_yaxis()
    return save_figure(figure, out)


def plot_receptive_field(field: np.ndarray, sides: Mapping[float, float], out: str | Path) -> Path:
    """An effective receptive field, logarithmic, with the squares that hold a share of it.

    Args:
        field (np.ndarray): ``(H, W)``, its sum is one.
        sides (Mapping[float, float]): Of each share the side of its square over that of the image.
        out (str | Path): The picture to write.

    Returns:
        Path: The picture.
    """
    relative = field / field.max()
    figure = Figure(figsize=(5.4, 4.6), layout='constrained')
    axis = figure.add_subplot()
    shown = axis.imshow(np.log10(np.maximum(relative, 1e-6)), cmap='viridis', vmin=-6, vmax=0)
    height, width = field.shape
    for index, (share, side) in enumerate(sides.items()):
        box = (width * (1 - side) / 2 - 0.5, height * (1 - side) / 2 - 0.5, width * side, height * side)
        axis.add_patch(Rectangle(box[:2], *box[2:], fill=False, edgecolor='white', linewidth=0.9))
        # each at a corner of its own: small squares lie close
        right, low = index % 2, index // 2 % 2
        axis.annotate(
            f'{100 * share:.0f} %',
            (box[0] + right * box[2], box[1] + low * box[3]),
            color='white',
            fontsize=7,
            ha='right' if right else 'left',
            va='bottom' if low else 'top',
            xytext=(-2 if right else 2, 2 if low else -2),
            textcoords='offset points',
        )
    axis.set(xticks=[], yticks=[])
    axis.set_title('Effective receptive field of the centre', fontsize=10)
    figure.colorbar(shown, ax=axis, label='contribution over the largest (log10)', shrink=0.85)
    return save_figure(figure, out)


def plot_curves(curves: Mapping[str, Curve], out: str | Path) -> Path:
    """Training loss and validation score of several runs, one beside the other.

    Args:
        curves (Mapping[str, Curve]): Of each run its name and how it went.
        out (str | Path): The picture to write.

    Returns:
        Path: The picture.
    """
    keys = [key for key in SCORES if any(key in curve.points for curve in curves.values())]
    units = {curve.unit for curve in curves.values()}
    figure = Figure(figsize=(4.8 * (1 + len(keys)), 4.2), layout='constrained')
    axes = figure.subplots(1, 1 + len(keys), squeeze=False)[0]
    for axis, key in zip(axes, ['loss', *keys], strict=True):
        for index, (name, curve) in enumerate(curves.items()):
            if key in curve.points:
                places, values = zip(*curve.points[key], strict=True)
                marker = None if key == 'loss' else 'o'
                axis.plot(places, values, color=f'C{index}', marker=marker, markersize=3, label=name)
        label = 'training loss' if key == 'loss' else f'validation {SCORES[key]} (%)'
        axis.set(xlabel=' or '.join(sorted(units)), ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].set_ylim(0, None)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=min(4, len(labels)), fontsize=8)
    return save_figure(figure, out)
