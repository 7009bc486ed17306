"""How sure a figure of some test images is: the bootstrap (Efron and Tibshirani, 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from .scores import margins, score, score_margins

RESAMPLES = 10_000
LEVELS = (2.5, 97.5)  # per cent: an interval of 95 %


class Estimate(NamedTuple):
    """A figure and its 95 % interval, in per cent."""

    mean: float
    low: float
    high: float


@cache
def draws(images: int) -> np.ndarray:
    """How often each of some images is in each resample, ``(RESAMPLES, N)`` float64; always the same."""
    # RandomState's stream is frozen; that of a Generator may change with NumPy, and the tables with it
    chosen = np.random.RandomState(0).randint(images, size=(RESAMPLES, images))
    chosen += images * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(chosen.ravel(), minlength=RESAMPLES * images)
    return counts.reshape(RESAMPLES, images).astype(np.float64)


def resampled(seeds: Sequence[np.ndarray], metric: str, counted: np.ndarray | None = None) -> np.ndarray:
    """A figure of resampled test images, in the mean over the seeds.

    Args:
        seeds (Sequence[np.ndarray]): Of each seed ``(N, C, C)`` confusions of the same N images.
        metric (str): See :func:`~.scores.score`.
        counted (np.ndarray, optional): See there. Defaults to None.

    Returns:
        np.ndarray: ``(RESAMPLES,)``. The same images for whatever has N images: of two models the
        difference is that of pairs.
    """
    values = []
    for counts in seeds:
        # exact: sums of integers below 2^53
        parts = margins(counts)
        sums = draws(len(counts)) @ parts.reshape(len(counts), -1).astype(np.float64)
        values.append(score_margins(sums.reshape(-1, *parts.shape[1:]), metric, counted))
    return np.mean(values, axis=0)


def estimate(seeds: Sequence[np.ndarray], metric: str, counted: np.ndarray | None = None) -> Estimate:
    """A figure in the mean over the seeds, and its interval over the test images."""
    mean = float(np.mean([score(counts.sum(0), metric, counted) for counts in seeds]))
    return Estimate(mean, *_interval(resampled(seeds, metric, counted)))


def difference(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    metric: str,
    counted: np.ndarray | None = None,
) -> Estimate:
    """By how much the first model is above the second on the same images: the paired bootstrap.

    Args:
        first, second (Sequence[np.ndarray]): As :func:`resampled`, of the same images in the same order.
        metric (str): See :func:`~.scores.score`.
        counted (np.ndarray, optional): See there. Defaults to None.

    Returns:
        Estimate: In points of per cent. The models differ, at the level of 95 %, where 0 is not inside.
    """
    mean = estimate(first, metric, counted).mean - estimate(second, metric, counted).mean
    apart = resampled(first, metric, counted) - resampled(second, metric, counted)
    return Estimate(mean, *_interval(apart))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(values, LEVELS)
    return float(low), float(high)
