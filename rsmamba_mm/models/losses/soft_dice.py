"""Dice loss over a batch."""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor

from .region_loss import RegionLoss


@MODELS.register_module()
class SoftDiceLoss(RegionLoss):
    """Dice loss of UNetMamba (arXiv:2408.11545): ``1 - (2 Σ p y + s) / (Σ p + Σ y + s)`` of each class.

    The sums are over all valid pixels of the batch; a class that is absent from it contributes 0 to the
    mean over the classes.

    Args:
        smooth (float): s. Defaults to 0.05, as released; 0 is the paper's formula.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str): Its name in the log. Defaults to ``'loss_dice'``.

    Raises:
        ValueError: If ``smooth`` is negative.
    """

    def __init__(
        self, smooth: float = 0.05, loss_weight: float = 1.0, loss_name: str = 'loss_dice'
    ) -> None:
        super().__init__(smooth, loss_weight, loss_name)

    def fraction(self, overlap: Tensor, of_p: Tensor, of_y: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`RegionLoss`."""
        return 2 * overlap, of_p + of_y
