"""Jaccard loss over a batch."""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor

from .region_loss import RegionLoss


@MODELS.register_module()
class SoftJaccardLoss(RegionLoss):
    """Jaccard loss (Rahman & Wang, 2016), near to the intersection over union that is measured:
    ``1 - (Σ p y + s) / (Σ p + Σ y - Σ p y + s)`` of each class.

    The sums are over all valid pixels of the batch; a class that is absent from it contributes 0 to the
    mean over the classes.

    Args:
        smooth (float): s. Defaults to 0, the formula.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str): Its name in the log. Defaults to ``'loss_jaccard'``.

    Raises:
        ValueError: If ``smooth`` is negative.
    """

    def __init__(
        self, smooth: float = 0.0, loss_weight: float = 1.0, loss_name: str = 'loss_jaccard'
    ) -> None:
        super().__init__(smooth, loss_weight, loss_name)

    def fraction(self, overlap: Tensor, of_p: Tensor, of_y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`RegionLoss`."""
        return overlap, of_p + of_y - overlap
