"""Pictures and tables of a classification run: confusion matrix, classes, predictions."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import Dataset

from ._figures import displayable, save_figure

RIGHT, WRONG = '#2e7d32', '#c62828'


def plot_confusion_matrix(matrix: Tensor, classes: Sequence[str], out: str | Path) -> Path:
    """Confusion matrix, coloured by the share of each true class.

    Args:
        matrix (Tensor): ``(C, C)`` counts, rows true and columns predicted classes, as mmpretrain's
            ``ConfusionMatrix.calculate`` gives them.
        classes (Sequence[str]): Names of the C classes.
        out (str | Path): The picture to write.

    Returns:
        Path: The picture.
    """
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 3 + 0.42 * len(classes)
    figure = Figure(figsize=(size + 0.8, size), layout='constrained')
    axis = figure.add_subplot()
    image = axis.imshow(share * 100, cmap='Blues', vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = 'white' if share[row, column] > 0.5 else 'black'
            axis.text(column, row, count, ha='center', va='center', color=shade, fontsize=8)
    ticks = range(len(classes))
    axis.set_xticks(ticks, classes, rotation=60, ha='right', rotation_mode='anchor')
    axis.set_yticks(ticks, classes)
    axis.set(xlabel='predicted', ylabel='true')
    accuracy = counts.trace() / max(counts.sum(), 1) * 100
    axis.set_title(f'{accuracy:.1f} % of {counts.sum()} images are right')
    figure.colorbar(image, ax=axis, label='% of the true class', shrink=0.8)
    return save_figure(figure, out)


def plot_predictions(
    dataset: Dataset,
    scores: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    out: str | Path,
    columns: int = 8,
    bgr: bool = True,
) -> Path:
    """A sheet of predictions: the surest right one of each class above, the surest wrong ones below.

    Args:
        dataset (Dataset): Gives ``dict(inputs=(bands, H, W) tensor)`` at the index of a prediction, or a
            list of such for test-time augmentation, as mmpretrain's data sets in test mode do.
        scores (Tensor): ``(N, C)`` scores in the order of the data set.
        labels (Tensor): ``(N,)`` true classes.
        classes (Sequence[str]): Names of the C classes.
        out (str | Path): The picture to write.
        columns (int): Pictures in a row. Defaults to 8.
        bgr (bool): Whether the first three bands are blue, green, red. Defaults to True.

    Returns:
        Path: The picture.
    """
    confidence, predicted = scores.max(1)
    is_right = predicted == labels
    ranked = confidence.argsort(descending=True).tolist()
    right: dict[int, int] = {}
    for index in ranked:
        if is_right[index]:
            right.setdefault(int(labels[index]), index)
    wrong = [index for index in ranked if not is_right[index]][: 2 * columns]
    chosen = [right[label] for label in sorted(right)][: 3 * columns]
    rows_right, rows_wrong = (-(-len(part) // columns) for part in (chosen, wrong))
    rows = max(1, rows_right + rows_wrong)
    figure = Figure(figsize=(1.7 * columns, 2.05 * rows + 0.5), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for first_row, part in ((0, chosen), (rows_right, wrong)):
        for place, index in enumerate(part):
            axis = axes[first_row + place // columns, place % columns]
            axis.imshow(displayable(dataset[index]['inputs'], bgr), cmap='gray')
            name = classes[int(predicted[index])]
            title = f'{name} {confidence[index] * 100:.0f} %'
            if not is_right[index]:
                title += f'\n(is {classes[int(labels[index])]})'
            axis.set_title(title, fontsize=8, color=RIGHT if is_right[index] else WRONG)
    figure.suptitle(
        f'Predictions: {int(is_right.sum())} right (green), {int((~is_right).sum())} wrong (red) '
        f'of {len(labels)}'
    )
    return save_figure(figure, out)


def write_class_table(matrix: Tensor, classes: Sequence[str], out: str | Path) -> Path:
    """Precision, recall and F1 of each class and their means, in per cent, as comma-separated values.

    Args:
        matrix (Tensor): ``(C, C)`` counts, rows true and columns predicted classes.
        classes (Sequence[str]): Names of the C classes.
        out (str | Path): The file to write.

    Returns:
        Path: The file.
    """
    counts = np.asarray(matrix, dtype=float)
    right, truth, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    precision, recall = 100 * right / np.maximum(predicted, 1), 100 * right / np.maximum(truth, 1)
    f1 = 200 * right / np.maximum(truth + predicted, 1)
    figures = np.stack([precision, recall, f1], 1)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['class', 'precision', 'recall', 'f1', 'images'])
        for name, row, images in zip(classes, figures, truth.astype(int), strict=True):
            writer.writerow([name, *np.round(row, 2).tolist(), images])
        writer.writerow(['mean', *np.round(figures.mean(0), 2).tolist(), int(truth.sum())])
    return out
