"""Pictures and tables of a segmentation run: overlays, classes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._figures import save_figure

OPACITY = 0.6


class SegmentedImage(NamedTuple):
    """What is drawn of one image.

    Attributes:
        image (np.ndarray): To show, ``(H, W, 3)`` uint8 RGB or ``(H, W, 1)``.
        truth (np.ndarray): Classes ``(H, W)``; values that are no class are ignored.
        prediction (np.ndarray): Classes ``(H, W)``.
        name (str): Caption.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    name: str


def plot_overlays(
    images: Iterable[SegmentedImage],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    out: str | Path,
) -> Path:
    """A sheet with image, truth, prediction and errors of each image in a row.

    Truth and prediction lie over the image; ignored pixels show the image alone. Wrong pixels are red.

    Args:
        images (Iterable[SegmentedImage]): At least one.
        classes (Sequence[str]): Names of the C classes.
        palette (Sequence[Sequence[int]]): RGB colour of each, 0 to 255.
        out (str | Path): The picture to write.

    Returns:
        Path: The picture.
    """
    images = list(images)
    colours = np.asarray(palette, dtype=np.uint8)
    figure = Figure(figsize=(11, 2.85 * len(images) + 0.9), layout='constrained')
    axes = figure.subplots(len(images), 4, squeeze=False)
    for row, (image, truth, prediction, name) in zip(axes, images, strict=True):
        grey = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
        valid = truth < len(classes)
        wrong = valid & (truth != prediction)
        pictures = {
            name: grey,
            'truth': _overlay(grey, truth, colours, valid),
            'prediction': _overlay(grey, prediction, colours, np.ones_like(valid)),
            f'{100 - 100 * wrong.sum() / max(valid.sum(), 1):.1f} % of pixels right': _overlay(
                grey // 2, np.zeros_like(truth), np.uint8([[230, 30, 30]]), wrong
            ),
        }
        for axis, (title, picture) in zip(row, pictures.items(), strict=True):
            axis.imshow(picture, interpolation='nearest')
            axis.set_title(title, fontsize=8)
            axis.axis('off')
    handles = [
        Patch(facecolor=colour / 255, edgecolor='#555555', label=label)
        for colour, label in zip(colours, classes, strict=True)
    ]
    figure.legend(handles=handles, loc='outside lower center', ncols=min(len(classes), 8), fontsize=8)
    return save_figure(figure, out)


def _overlay(image: np.ndarray, labels: np.ndarray, colours: np.ndarray, where: np.ndarray) -> np.ndarray:
    painted = image.copy()
    shade = OPACITY * colours[labels[where]] + (1 - OPACITY) * image[where]
    painted[where] = shade.astype(np.uint8)
    return painted


def write_land_cover_table(metrics: dict[str, float], classes: Sequence[str], out: str | Path) -> Path:
    """IoU and F1 of each class, in per cent, as comma-separated values.

    Args:
        metrics (dict[str, float]): Of :class:`rsmamba_mm.evaluation.LandCoverMetric`: ``IoU.CLASS`` and
            ``Fscore.CLASS`` of each class, ``mIoU`` and ``mFscore`` of those that count.
        classes (Sequence[str]): Names of the classes.
        out (str | Path): The file to write.

    Returns:
        Path: The file.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['class', 'iou', 'f1'])
        for name in classes:
            writer.writerow([name, metrics[f'IoU.{name}'], metrics[f'Fscore.{name}']])
        writer.writerow(['mean', metrics['mIoU'], metrics['mFscore']])
    return out
