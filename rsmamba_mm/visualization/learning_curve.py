"""The learning curve of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ._figures import save_figure

SCORES = {'accuracy/top1': 'accuracy', 'mIoU': 'mIoU'}
"""What is drawn of a validation, as the evaluators and as people name it: the first that was recorded."""


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
    records = [json.loads(line) for line in Path(scalars).read_text().splitlines() if line]
    train = [r for r in records if 'loss' in r]
    if not train:
        raise ValueError(f'{scalars} records no training loss: the run ended before its first log')
    # training is logged every few iterations, validation once an epoch: put both on one axis
    epochs = train[-1].get('epoch')
    per_unit = train[-1]['iter'] / epochs if epochs else 1
    steps = [r['iter'] / per_unit for r in train]
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    loss_axis = figure.add_subplot()
    (loss,) = loss_axis.plot(steps, [r['loss'] for r in train], color='#1565c0', label='training loss')
    loss_axis.set(
        xlabel='epoch' if epochs else 'iteration',
        ylabel='training loss',
        xlim=(0, steps[-1]),
        ylim=(0, None),
    )
    loss_axis.grid(alpha=0.3)
    lines = [loss]
    key = next((key for key in SCORES if any(key in r for r in records)), None)
    if key is not None:
        name = f'validation {SCORES[key]}'
        score_axis = loss_axis.twinx()
        steps, scores = zip(*((r['step'], r[key]) for r in records if key in r), strict=True)
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
