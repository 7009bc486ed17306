"""Dice loss over a batch."""

from __future__ import annotations

from mmengine.registry import MODELS
from torch import Tensor, nn

from .class_sums import class_sums


@MODELS.register_module()
class SoftDiceLoss(nn.Module):
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
        super().__init__()
        if smooth < 0:
            raise ValueError(f'SoftDiceLoss: smooth is at least 0, got {smooth}')
        self.smooth, self.loss_weight, self.loss_name = smooth, loss_weight, loss_name

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255, **kwargs
    ) -> Tensor:
        """Compute the loss.

        Args:
            pred (Tensor): Logits ``(B, C, H, W)``; with one channel, of class 1, the only one that counts.
            target (Tensor): Classes ``(B, H, W)``, int64.
            weight (Tensor, optional): Of each pixel, ``(B, H, W)``. Defaults to None.
            ignore_index (int): Class of pixels that do not count. Defaults to 255.

        Returns:
            Tensor: The loss, a scalar.
        """
        overlap, of_p, of_y = class_sums(pred, target, weight, ignore_index)
        # an absent class has y = 0 and counts for nothing; its denominator may be 0 where s is
        losses = 1 - (2 * overlap + self.smooth) / (of_p + of_y + self.smooth).clamp(min=1e-12)
        return self.loss_weight * (losses * (of_y > 0)).mean()
