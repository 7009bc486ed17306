"""Pictures and tables of a classification run: confusion matrix, classes, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import Dataset

from ._figures import INK, LINE, PAPER, as_rgb, displayable, font, save_figure
from .tables import write_table

RIGHT, WRONG, OTHER = '#2e7d32', '#c62828', '#90a4ae'
IMAGE_SIDE, BARS_WIDTH = 320, 340  # pixels of a picture of one image and its scores


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
            axis.set_title(title, fontsize=8, y=1, color=RIGHT if is_right[index] else WRONG)
    figure.suptitle(
        f'Predictions: {int(is_right.sum())} right (green), {int((~is_right).sum())} wrong (red) '
        f'of {len(labels)}'
    )
    return save_figure(figure, out)


def draw_scores(
    image: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[str],
    label: int | None = None,
    topk: int = 5,
    name: str = '',
) -> np.ndarray:
    """An image beside bars of its highest scores.

    Where the true class is known, its bar is green and a wrong prediction's red.

    Args:
        image (np.ndarray): ``(H, W, 3 or 1)`` uint8, RGB.
        scores (np.ndarray): ``(C,)``, from 0 to 1.
        classes (Sequence[str]): Names of the C classes.
        label (int, optional): True class. Defaults to None.
        topk (int): How many classes to show. Defaults to 5.
        name (str): Caption. Defaults to none.

    Returns:
        np.ndarray: The picture, uint8 RGB.
    """
    scale = IMAGE_SIDE / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    shown = Image.fromarray(np.ascontiguousarray(as_rgb(image))).resize(size, Image.Resampling.BICUBIC)
    height = max(size[1], 44 * topk + 40, 180)
    picture = Image.new('RGB', (size[0] + BARS_WIDTH, height), PAPER)
    picture.paste(shown, (0, (height - size[1]) // 2))
    draw, left, right = ImageDraw.Draw(picture), size[0] + 16, size[0] + BARS_WIDTH - 16
    draw.text((left, 18), _shortened(name, right - left, 12), fill=LINE, font=font(12), anchor='lm')
    ranked = np.argsort(-scores)[:topk].tolist()
    for rank, index in enumerate(ranked):
        colour = OTHER if rank else '#1565c0'
        if label is not None:
            colour = RIGHT if index == label else WRONG if rank == 0 else OTHER
        y = 36 + 44 * rank
        percent = f'{100 * scores[index]:.1f} %'
        room = right - left - round(font(14).getlength(percent)) - 8
        draw.text((left, y + 8), _shortened(classes[index], room, 14), fill=INK, font=font(14), anchor='lm')
        draw.text((right, y + 8), percent, fill=INK, font=font(14), anchor='rm')
        draw.rectangle((left, y + 20, right, y + 30), fill='#eceff1')
        draw.rectangle((left, y + 20, left + (right - left) * float(scores[index]), y + 30), fill=colour)
    if label is not None and label not in ranked:
        said = _shortened(f'is {classes[label]} ({100 * scores[label]:.1f} %)', right - left, 14)
        draw.text((left, 36 + 44 * len(ranked)), said, fill=RIGHT, font=font(14), anchor='lm')
    return np.asarray(picture)


def _shortened(text: str, width: float, size: int) -> str:
    """A text that is no wider than ``width`` pixels."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + '…') > width:
        text = text[:-1]
    return text + '…'


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
    lines = [*zip(classes, figures, truth, strict=True), ('mean', figures.mean(0), truth.sum())]
    columns = ('class', 'precision', 'recall', 'f1', 'images')
    rows = [(name, *np.round(line, 2).tolist(), int(images)) for name, line, images in lines]
    return write_table([dict(zip(columns, row, strict=True)) for row in rows], out)
