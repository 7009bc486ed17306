"""Figures of confusion matrices, of one or of thousands at once."""

from __future__ import annotations

import warnings

import numpy as np

#: what the bench reports -> how a table calls it
METRICS = {
    'macro_f1': 'macro F1',
    'macro_precision': 'macro precision',
    'macro_recall': 'macro recall',
    'accuracy': 'accuracy',
    'miou': 'mIoU',
    'mf1': 'mF1',
    'oa': 'OA',
}


def confusions(judged: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrices of images.

    Args:
        judged (np.ndarray): ``(N, 2)``, truth and prediction of scenes; or already ``(N, C, C)``.
        classes (int): Number of classes C.

    Returns:
        np.ndarray: ``(N, C, C)`` int64, rows true and columns predicted classes.
    """
    if judged.ndim == 3:
        return judged.astype(np.int64)
    counts = np.zeros((len(judged), classes, classes), np.int64)
    counts[np.arange(len(judged)), judged[:, 0], judged[:, 1]] = 1
    return counts


def margins(counts: np.ndarray) -> np.ndarray:
    """What figures are made of: how often each class is right, there, and predicted.

    Args:
        counts (np.ndarray): ``(…, C, C)``, rows true and columns predicted classes.

    Returns:
        np.ndarray: ``(…, 3, C)``.
    """
    return np.stack([np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)], axis=-2)


def score(counts: np.ndarray, metric: str, counted: np.ndarray | None = None) -> np.ndarray:
    """A figure of confusion matrices, in per cent.

    A class that is neither there nor predicted is left out of a mean over classes; one that is there and
    never predicted counts as 0, as is one that is predicted and never there.

    Args:
        counts (np.ndarray): ``(…, C, C)``, rows true and columns predicted classes.
        metric (str): A name of :data:`METRICS`. Macro figures, mIoU and mF1 are means over classes,
            accuracy and OA are shares of all images or pixels.
        counted (np.ndarray, optional): ``(C,)`` bool, the classes in the means. Defaults to None, all.

    Returns:
        np.ndarray: ``(…)`` float64; nan where there is nothing to count.
    """
    return score_margins(margins(counts), metric, counted)


def score_margins(counts: np.ndarray, metric: str, counted: np.ndarray | None = None) -> np.ndarray:
    """As :func:`score`, of ``(…, 3, C)`` :func:`margins`, which sum like the matrices that they are of."""
    right, true, found = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    with np.errstate(invalid='ignore', divide='ignore'):
        if metric in ('accuracy', 'oa'):
            return 100 * right.sum(-1) / true.sum(-1)
        below = {
            'macro_precision': found,
            'macro_recall': true,
            'macro_f1': (true + found) / 2,
            'mf1': (true + found) / 2,
            'miou': true + found - right,
        }[metric]
        values = np.where(below > 0, right / below, 0)
    values = np.where(true + found > 0, values, np.nan)
    if counted is not None:
        values = values[..., counted]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # of nothing but absent classes
        return 100 * np.nanmean(values, axis=-1)
