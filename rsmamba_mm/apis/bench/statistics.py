"""How sure a figure of some test images is: the bootstrap (Efron and Tibshirani, 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from .scores import margins, score_margins

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


class Sample(NamedTuple):
    """A figure of the test images, and of each resample of them.

    Attributes:
        mean (float): Over the seeds, in per cent.
        resamples (np.ndarray): ``(RESAMPLES,)``, likewise. They have the same images for whatever has N
            images: of two models the difference is that of pairs.
    """

    mean: float
    resamples: np.ndarray

    @property
    def estimate(self) -> Estimate:
        """The figure, and its interval over the test images."""
        return Estimate(self.mean, *_interval(self.resamples))


def sample(
    seeds: Sequence[np.ndarray], metrics: Sequence[str], counted: np.ndarray | None = None
) -> dict[str, Sample]:
    """Figures of some test images and of resamples of them.

    Args:
        seeds (Sequence[np.ndarray]): Of each seed ``(N, C, C)`` confusions of the same N images.
        metrics (Sequence[str]): See :func:`~.scores.score`.
        counted (np.ndarray, optional): See there. Defaults to None.

    Returns:
        dict[str, Sample]: By metric.
    """
    values = {metric: [] for metric in metrics}
    for counts in seeds:
        parts = margins(counts)
        # exact: sums of integers below 2^53
        sums = draws(len(counts)) @ parts.reshape(len(counts), -1).astype(np.float64)
        sums = sums.reshape(-1, *parts.shape[1:])
        for metric in metrics:
            figure = float(score_margins(parts.sum(0), metric, counted))
            values[metric].append(Sample(figure, score_margins(sums, metric, counted)))
    return {
        metric: Sample(float(np.mean([s.mean for s in each])), np.mean([s.resamples for s in each], axis=0))
        for metric, each in values.items()
    }


def difference(first: Sample, second: Sample) -> Estimate:
    """By how much the first model is above the second on the same images: the paired bootstrap.

    Args:
        first, second (Sample): Of the same images in the same order.

    Returns:
        Estimate: In points of per cent. The models differ, at the level of 95 %, where 0 is not inside.
    """
    return Estimate(first.mean - second.mean, *_interval(first.resamples - second.resamples))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(values, LEVELS)
    return float(low), float(high)
