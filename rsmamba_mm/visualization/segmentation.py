"""Pictures and tables of a segmentation run: overlays, classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw

from ._figures import INK, PAPER, as_rgb, font, legend, save_figure
from .tables import write_table

OPACITY = 0.6
LEAST_SIDE = 256  # pixels of a panel; smaller images are enlarged by a whole factor
GAP = 8


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
    width: float = 11,
) -> Path:
    """A sheet with image, truth, prediction and errors of each image in a row.

    Truth and prediction lie over the image; ignored pixels show the image alone. Wrong pixels are red.

    Args:
        images (Iterable[SegmentedImage]): At least one.
        classes (Sequence[str]): Names of the C classes.
        palette (Sequence[Sequence[int]]): RGB colour of each, 0 to 255.
        out (str | Path): The picture to write.
        width (float): Of the sheet in inches, of 120 pixels each. Defaults to 11.

    Returns:
        Path: The picture.
    """
    images = list(images)
    colours = np.asarray(palette, dtype=np.uint8)
    figure = Figure(figsize=(width, 0.26 * width * len(images) + 0.9), layout='constrained')
    axes = figure.subplots(len(images), 4, squeeze=False)
    for row, (image, truth, prediction, name) in zip(axes, images, strict=True):
        grey = as_rgb(image)
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
            axis.set_title(title, fontsize=8, y=1)  # else matplotlib measures all ticks to place it
            axis.axis('off')
    handles = [
        Patch(facecolor=colour / 255, edgecolor='#555555', label=label)
        for colour, label in zip(colours, classes, strict=True)
    ]
    figure.legend(handles=handles, loc='outside lower center', ncols=min(len(classes), 8), fontsize=8)
    return save_figure(figure, out)


def overlay_classes(
    image: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]], opacity: float = OPACITY
) -> np.ndarray:
    """Classes in their colours over an image, which shows alone where a value is no class.

    Args:
        image (np.ndarray): ``(H, W, 3)`` uint8, RGB.
        labels (np.ndarray): Classes ``(H, W)``.
        palette (Sequence[Sequence[int]]): RGB colour of each class, 0 to 255.
        opacity (float): Of the classes, from 0 to 1. Defaults to 0.6.

    Returns:
        np.ndarray: ``(H, W, 3)`` uint8, RGB.
    """
    colours = np.asarray(palette, dtype=np.uint8)
    return _overlay(image, labels, colours, labels < len(colours), opacity)


def _overlay(
    image: np.ndarray, labels: np.ndarray, colours: np.ndarray, where: np.ndarray, opacity: float = OPACITY
) -> np.ndarray:
    painted = image.copy()
    shade = opacity * colours[labels[where]] + (1 - opacity) * image[where]
    painted[where] = shade.astype(np.uint8)
    return painted


def draw_land_cover(
    image: np.ndarray,
    prediction: np.ndarray,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    truth: np.ndarray | None = None,
    opacity: float = OPACITY,
) -> np.ndarray:
    """An image beside its prediction, and its truth if there is one, both laid over it; with a legend.

    The legend names the classes that occur, and their shares of the prediction. Panels have the size of the
    image, or a multiple of it where that is small.

    Args:
        image (np.ndarray): ``(H, W, 3 or 1)`` uint8, RGB.
        prediction (np.ndarray): Classes ``(H, W)``.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[Sequence[int]]): RGB colour of each, 0 to 255.
        truth (np.ndarray, optional): Classes ``(H, W)``; values that are no class are ignored. Defaults
            to None.
        opacity (float): Of the classes, from 0 to 1. Defaults to 0.6.

    Returns:
        np.ndarray: The picture, uint8 RGB.
    """
    colours, image = np.asarray(palette, dtype=np.uint8), as_rgb(image)
    panels = {'image': image}
    for name, labels in dict(truth=truth, prediction=prediction).items():
        if labels is not None:
            panels[name] = _overlay(image, labels, colours, labels < len(classes), opacity)
    factor = max(1, -(-LEAST_SIDE // min(prediction.shape)))
    size = max(14, factor * min(prediction.shape) // 48)  # of the letters
    headed = [
        _headed(panel.repeat(factor, 0).repeat(factor, 1), name, size) for name, panel in panels.items()
    ]
    gap = np.full((headed[0].shape[0], GAP, 3), 255, np.uint8)
    body = np.concatenate([part for panel in headed for part in (panel, gap)][:-1], 1)
    shares = np.bincount(prediction.ravel(), minlength=len(classes)) / prediction.size
    occurs = shares[: len(classes)] > 0
    if truth is not None:
        occurs |= np.isin(np.arange(len(classes)), truth)
    entries = [(f'{classes[i]} {100 * shares[i]:.1f} %', colours[i]) for i in np.flatnonzero(occurs)]
    return np.concatenate([body, legend(entries, body.shape[1], size)], 0)


def spread_palette(count: int) -> list[list[int]]:
    """Colours for classes that have none: ``count`` hues, light and dark in turn."""
    hues = (np.arange(count) * 0.618034) % 1  # neighbours are far apart
    hsv = np.stack([hues, np.full(count, 0.65), np.where(np.arange(count) % 2, 0.65, 0.95)], 1)
    return (255 * hsv_to_rgb(hsv)).astype(int).tolist()


def _headed(panel: np.ndarray, name: str, size: int) -> np.ndarray:
    """A panel below its name."""
    strip = Image.new('RGB', (panel.shape[1], round(1.7 * size)), PAPER)
    ImageDraw.Draw(strip).text((2, 0.85 * size), name, fill=INK, font=font(size), anchor='lm')
    return np.concatenate([np.asarray(strip), panel], 0)


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
    keys = [*((name, f'IoU.{name}', f'Fscore.{name}') for name in classes), ('mean', 'mIoU', 'mFscore')]
    rows = [{'class': name, 'iou': metrics[iou], 'f1': metrics[f1]} for name, iou, f1 in keys]
    return write_table(rows, out)
