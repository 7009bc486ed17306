"""How well a segmenter draws the borders of what it finds."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from .excluded import ExcludesClasses

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@METRICS.register_module()
class BoundaryMetric(ExcludesClasses, BaseMetric):
    """F1 of borders within a tolerance (Csurka et al., BMVC 2013), of each class and in the mean.

    A pixel is on the border of its class where one of its four neighbours is of another. Precision is the
    share of a class's predicted border within ``tolerance`` of its true one, recall that of the true border
    within reach of the predicted one; both over the pixels of all images together. Ignored pixels, and
    borders with them or with the image's edge, do not count.

    Args:
        tolerance (float): Pixels. Defaults to 3.
        ignore_index (int): Value of pixels that do not count. Defaults to 255.
        exclude (Sequence[str]): Classes to leave out of the mean. Defaults to none.
        **kwargs: Further arguments of MMEngine's ``BaseMetric``.

    Raises:
        ValueError: If ``tolerance`` is negative, or an excluded class is none of the data set's.
    """

    def __init__(
        self, tolerance: float = 3, ignore_index: int = 255, exclude: Sequence[str] = (), **kwargs
    ) -> None:
        super().__init__(**kwargs)
        if tolerance < 0:
            raise ValueError(f'BoundaryMetric: tolerance must not be negative, got {tolerance}')
        self.tolerance, self.ignore_index, self.exclude = tolerance, ignore_index, tuple(exclude)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the borders of a batch."""
        for sample in data_samples:
            truth, prediction = (sample[k]['data'][0].cpu().numpy() for k in ('gt_sem_seg', 'pred_sem_seg'))
            self.results.append(self._count(truth, prediction))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """``mBoundaryF1`` over the classes that have a border, and ``BoundaryF1.CLASS``; in per cent, nan
        of a class without any border."""
        predicted, found, true, reached = np.sum(results, 0)
        with np.errstate(invalid='ignore', divide='ignore'):
            precision, recall = found / predicted, reached / true
            f1 = 2 * precision * recall / (precision + recall)
        # a border that only one of the two has, or that is nowhere near the other's
        f1[(predicted + true > 0) & (found + reached == 0)] = 0
        classes = self.dataset_meta['classes']
        counted = f1[self.counted()]
        mean = np.nan if np.isnan(counted).all() else np.nanmean(counted)
        named = {f'BoundaryF1.{name}': value for name, value in zip(classes, f1, strict=True)}
        return {key: round(100 * float(v), 2) for key, v in {'mBoundaryF1': mean, **named}.items()}

    def _count(self, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """``(4, C)`` pixels: predicted borders, of these near true ones, true borders, of these reached."""
        valid = truth != self.ignore_index
        classes = len(self.dataset_meta['classes'])
        counts = np.zeros((4, classes), np.int64)
        for index in range(classes):
            borders = [_border(labels == index, valid) for labels in (prediction, truth)]
            for row, (own, other) in enumerate((borders, borders[::-1])):
                counts[2 * row, index] = own.sum()
                if own.any() and other.any():
                    apart = cv2.distanceTransform(
                        (~other).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
                    )
                    counts[2 * row + 1, index] = (apart[own] <= self.tolerance).sum()
        return counts


def _border(inside: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Where a class meets another one, ``(H, W)`` bool."""
    outside = (~inside & valid).astype(np.uint8)
    return inside & valid & (cv2.dilate(outside, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)
