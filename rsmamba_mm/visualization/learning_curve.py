"""The learning curve of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ._figures import save_figure

SCORES = {'accuracy/top1': 'accuracy', 'mIoU': 'mIoU'}
"""What is drawn of a validation, as the evaluators and as people name it: the first that was recorded."""


class Curve(NamedTuple):
    """How a run went.

    Attributes:
        unit (str): ``'epoch'``, or ``'iteration'`` of a run without epochs.
        points (dict[str, list[tuple[float, float]]]): The training ``loss`` and the scores of
            :data:`SCORES` that were recorded, each as pairs of place and value.
    """

    unit: str
    points: dict[str, list[tuple[float, float]]]


def read_curve(scalars: str | Path) -> Curve:
    """Read how a run went.

    Args:
        scalars (str | Path): ``vis_data/scalars.json`` of a run of MMEngine.

    Returns:
        Curve: Its training loss and scores.

    Raises:
        ValueError: If the file records no training loss.
    """
    records = [json.loads(line) for line in Path(scalars).read_text(encoding='utf-8').splitlines() if line]
    train = [record for record in records if 'loss' in record]
    if not train:
        raise ValueError(f'{scalars} records no training loss: the run ended before its first log')
    # training is logged every few iterations, validation once an epoch: put both on one axis
    epochs = train[-1].get('epoch')
    per_unit = train[-1]['iter'] / epochs if epochs else 1
    points = {'loss': [(record['iter'] / per_unit, record['loss']) for record in train]}
    for key in SCORES:
        found = [(record['step'], record[key]) for record in records if {key, 'step'} <= set(record)]
        if found:
            points[key] = found
    return Curve('epoch' if epochs else 'iteration', points)


def plot_learning_curve(scalars: str | Path, out: str | Path) -> Path:
    """Training loss and validation score over the epochs, or over the iterations of a run without epochs.

    Args:
        scalars (str | Path): ``vis_data/scalars.json`` of a run of MMEngine.
        out (str | Path): The picture to write.

    Returns:
        Path: The picture.

    Raises:
        ValueError: If the file records no training loss.
    """
    unit, points = read_curve(scalars)
    steps, losses = zip(*points['loss'], strict=True)
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    loss_axis = figure.add_subplot()
    (loss,) = loss_axis.plot(steps, losses, color='#1565c0', label='training loss')
    loss_axis.set(
        xlabel=unit,
        ylabel='training loss',
        xlim=(0, steps[-1]),
        ylim=(0, None),
    )
    loss_axis.grid(alpha=0.3)
    lines = [loss]
    key = next((key for key in SCORES if key in points), None)
    if key is not None:
        name = f'validation {SCORES[key]}'
        score_axis = loss_axis.twinx()
        steps, scores = zip(*points[key], strict=True)
        lines += score_axis.plot(steps, scores, color='#2e7d32', marker='o', markersize=3, label=name)
        score_axis.set(ylabel=f'{name} (%)', ylim=(0, 106), yticks=range(0, 101, 20))
        best = int(np.argmax(scores))
        score_axis.annotate(
            f'{scores[best]:.1f} %',
            (steps[best], scores[best]),
            xytext=(0, 8),
            textcoords='offset points',
            ha='center',
            color='#2e7d32',
        )
    figure.legend(handles=lines, loc='outside lower center', ncols=2)
    loss_axis.set_title('Learning curve')
    return save_figure(figure, out)
