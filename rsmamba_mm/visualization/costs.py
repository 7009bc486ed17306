"""How good models are: over what they cost, and beside one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ._figures import save_figure

COSTS = {
    'milliseconds': ('time for an image (ms)', 1),
    'parameters': ('parameters (M)', 1e6),
    'operations': ('multiply-adds and operations of scans (G)', 1e9),
}


def plot_costs(points: Sequence[dict], out: str | Path, digest: str) -> Path:
    """A row for each data set: figure with its interval over time, parameters and operations.

    Args:
        points (Sequence[dict]): Of each model ``data``, ``title``, ``metric``, ``figure`` and ``interval``
            in per cent, ``milliseconds``, ``parameters`` and ``operations``.
        out (str | Path): The picture to write, a PNG.
        digest (str): What tells the points apart, for the picture's text ``Description``.

    Returns:
        Path: The picture.
    """
    rows = list(dict.fromkeys(point['data'] for point in points))
    figure = Figure(figsize=(15, 0.6 + 3.4 * len(rows)), layout='constrained')
    for axes, data in zip(
        figure.subplots(len(rows), len(COSTS), sharey='row', squeeze=False), rows, strict=True
    ):
        shown = [point for point in points if point['data'] == data]
        for axis, (cost, (label, unit)) in zip(axes, COSTS.items(), strict=True):
            for index, point in enumerate(shown):
                low, high = point['interval']
                errors = [[point['figure'] - low], [high - point['figure']]]
                marker = 'osD^'[index // 10 % 4]  # the colours are ten
                axis.errorbar(
                    point[cost] / unit, point['figure'], errors, fmt=marker, capsize=3, color=f'C{index}',
                    label=point['title'],
                )  # fmt: skip
            costs = [point[cost] / unit for point in shown]
            axis.set(xscale='log', xlabel=label, xlim=(min(costs) / 2, max(costs) * 2))
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter('{x:g}')
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.grid(alpha=0.3, which='both')
        axes[0].set_ylabel(f'{shown[0]["metric"]} (%), 95 % interval')
        axes[0].set_title(data, loc='left')
        axes[-1].legend(fontsize=8, loc='upper left', bbox_to_anchor=(1.02, 1))  # beside the points
    return save_figure(figure, out, Description=digest)


def plot_answer(rows: Sequence[dict], out: str | Path, digest: str) -> Path:
    """A line for each model that a question was asked of: its figure and interval, beside the first one's.

    Args:
        rows (Sequence[dict]): Of each model ``title``, ``metric``, ``mean`` and ``ci95`` in per cent,
            ``seeds`` and the ``question``.
        out (str | Path): The picture to write, a PNG.
        digest (str): What tells the rows apart, for the picture's text ``Description``.

    Returns:
        Path: The picture.
    """
    figure = Figure(figsize=(9, 1.4 + 0.34 * len(rows)), layout='constrained')
    axis = figure.subplots()
    for place, row in enumerate(rows):
        low, high = row['ci95']
        errors = [[row['mean'] - low], [high - row['mean']]]
        axis.errorbar(row['mean'], place, xerr=errors, fmt='o', capsize=3, color=f'C{min(place, 1)}')
    axis.axvline(rows[0]['mean'], color='C0', linewidth=1, linestyle=':')
    seeds = [f'{row["title"]} ({row["seeds"]} seeds)' if row['seeds'] > 1 else row['title'] for row in rows]
    axis.set_yticks(range(len(rows)), seeds)
    axis.grid(alpha=0.3, axis='x')
    axis.set(xlabel=f'{rows[0]["metric"]} (%), 95 % interval', ylim=(len(rows) - 0.5, -0.5))
    axis.set_title(rows[0]['question'], loc='left')
    return save_figure(figure, out, Description=digest)
