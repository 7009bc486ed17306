"""Cohen's kappa."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch import Tensor


@METRICS.register_module()
class CohenKappa(BaseMetric):
    """Agreement with the truth beyond chance, as land-cover maps are judged.

    ``κ = (p_o - p_e) / (1 - p_e)`` with the overall accuracy p_o and the agreement p_e of two independent
    labellings with the same class frequencies (Cohen, 1960). In per cent, as mmpretrain's other metrics.

    Args:
        collect_device (str): Where ranks put their results together. Defaults to ``'cpu'``.
        prefix (str, optional): First part of the metric's name, ``PREFIX/kappa``. Defaults to
            ``'single-label'``, beside mmpretrain's precision, recall and F1.
    """

    default_prefix = 'single-label'

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep true and predicted class of each sample."""
        for sample in data_samples:
            score, label = sample.get('pred_score'), sample.get('pred_label')
            predicted = label if score is None else score.argmax(0)
            self.results.append((int(sample['gt_label']), int(predicted)))

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """``kappa`` of all samples."""
        labels, predicted = torch.tensor(results).T
        classes = int(torch.maximum(labels, predicted).max()) + 1
        return dict(kappa=100 * kappa(confusion_matrix(labels, predicted, classes)))


def confusion_matrix(labels: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Count the samples of each true and predicted class.

    Args:
        labels (Tensor): True classes ``(N,)``, int64.
        predicted (Tensor): Predicted classes ``(N,)``, int64.
        num_classes (int): Number of classes C.

    Returns:
        Tensor: ``(C, C)`` counts, rows true and columns predicted classes.
    """
    counts = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


def kappa(counts: Tensor) -> float:
    """Cohen's kappa of a confusion matrix.

    Args:
        counts (Tensor): ``(C, C)``, rows true and columns predicted classes.

    Returns:
        float: At most 1; 0 where the agreement is that of chance, or where truth and prediction are one
        and the same class throughout.
    """
    shares = counts.double() / max(int(counts.sum()), 1)
    observed = float(shares.trace())
    expected = float(shares.sum(0) @ shares.sum(1))
    return 0.0 if expected == 1 else (observed - expected) / (1 - expected)
