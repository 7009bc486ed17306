"""Segmentation metrics as the ISPRS benchmarks define them: import needs mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.registry import METRICS
from mmseg.evaluation.metrics import IoUMetric

from ..errors import MissingDataError
from .excluded import ExcludesClasses


@METRICS.register_module()
class LandCoverMetric(ExcludesClasses, IoUMetric):
    """mmseg's IoUMetric with classes that are left out of the means, and the figures of each class.

    On Vaihingen and Potsdam clutter is a class of the model and counts in the overall accuracy, but not in
    mIoU and mF1. A class that is there and never found has F1 = 0; mmseg's own leaves it out of the mean.

    Args:
        exclude (Sequence[str]): Classes to leave out of the means. Defaults to none.
        iou_metrics (Sequence[str]): As mmseg's. Defaults to ``('mIoU', 'mFscore')``.
        **kwargs: Further arguments of ``IoUMetric``.

    Raises:
        ValueError: If an excluded class is none of the data set's.
    """

    def __init__(
        self, exclude: Sequence[str] = (), iou_metrics: Sequence[str] = ('mIoU', 'mFscore'), **kwargs
    ) -> None:
        self.exclude = tuple(exclude)
        super().__init__(iou_metrics=list(iou_metrics), **kwargs)

    @staticmethod
    def total_area_to_metrics(intersect, union, predicted, labels, *args, **kwargs) -> dict:
        """As mmseg's, with zeros where a class that is there was never found."""
        figures = IoUMetric.total_area_to_metrics(intersect, union, predicted, labels, *args, **kwargs)
        for key, missed in dict(
            Fscore=(intersect == 0) & (union > 0), Precision=(predicted == 0) & (labels > 0)
        ).items():
            if key in figures:
                figures[key][missed.numpy()] = 0
        return figures

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """As mmseg's; images without masks are refused in words.

        Raises:
            MissingDataError: If there is no mask to compare with.
        """
        if not self.format_only and not all('gt_sem_seg' in sample for sample in data_samples):
            raise MissingDataError(
                'LandCoverMetric: the images have no masks to compare with: the pipeline has no '
                'LoadAnnotations. To write the predictions without evaluation: tools/test.py CONFIG '
                'CHECKPOINT --format-only --out FOLDER'
            )
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """``aAcc`` of all pixels, the means over the classes that count, and ``IoU.CLASS`` and
        ``Fscore.CLASS`` of all; in per cent."""
        if self.format_only:  # mmseg's own needs an output_dir for that
            return {}
        metrics = super().compute_metrics(results)  # logs the table
        areas = (sum(column) for column in zip(*results, strict=True))
        by_class = self.total_area_to_metrics(*areas, self.metrics, self.nan_to_num, self.beta)
        by_class.pop('aAcc')
        classes = self.dataset_meta['classes']
        counted = self.counted()
        for key, values in by_class.items():
            metrics[f'm{key}'] = round(100 * float(np.nanmean(values[counted])), 2)
            if key in ('IoU', 'Fscore'):
                named = zip(classes, values, strict=True)
                metrics.update({f'{key}.{name}': round(100 * float(v), 2) for name, v in named})
        return metrics
