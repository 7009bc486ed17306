"""What losses of regions, Dice and Jaccard, have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def class_sums(
    pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
) -> tuple[Tensor, Tensor, Tensor]:
    """``Σ p y``, ``Σ p`` and ``Σ y`` of each class over all valid pixels of a batch, ``p`` the probability
    and ``y`` 1 where the pixel is of the class.

    Args:
        pred (Tensor): Logits ``(B, C, H, W)``; with one channel, of class 1, the only one that counts.
        target (Tensor): Classes ``(B, H, W)``, int64.
        weight (Tensor, optional): Of each pixel, ``(B, H, W)``. Defaults to None.
        ignore_index (int): Class of pixels that do not count. Defaults to 255.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Three times ``(C,)``, in float32 or better.
    """
    pred = pred.to(torch.promote_types(pred.dtype, torch.float32))
    binary = pred.shape[1] == 1
    p = pred.sigmoid() if binary else pred.softmax(1)
    classes = torch.arange(1, 2) if binary else torch.arange(pred.shape[1])
    y = target.unsqueeze(1) == classes.to(target.device).view(1, -1, 1, 1)
    counts = (target != ignore_index).unsqueeze(1).to(p.dtype)
    if weight is not None:
        counts = counts * weight.unsqueeze(1)
    p, y = p * counts, y * counts
    overlap, of_p, of_y = (x.sum((0, 2, 3)) for x in (p * y, p, y))
    return overlap, of_p, of_y


class RegionLoss(nn.Module):
    """Mean over the classes of a loss of the sums ``Σ p y``, ``Σ p`` and ``Σ y``, see :func:`class_sums`.

    The sums are over all valid pixels of the batch; a class that is absent from it contributes 0.

    Args:
        smooth (float): Added to both terms of the loss's fraction.
        loss_weight (float): Factor of the loss.
        loss_name (str): Its name in the log.

    Raises:
        ValueError: If ``smooth`` is negative.
    """

    def __init__(self, smooth: float, loss_weight: float, loss_name: str) -> None:
        super().__init__()
        if smooth < 0:
            raise ValueError(f'{type(self).__name__}: smooth is at least 0, got {smooth}')
        self.smooth, self.loss_weight, self.loss_name = smooth, loss_weight, loss_name

    def fraction(self, overlap: Tensor, of_p: Tensor, of_y: Tensor) -> tuple[Tensor, Tensor]:
        """Numerator and denominator of the agreement of each class, before smoothing, ``(C,)`` each."""
        raise NotImplementedError

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
        shared, whole = self.fraction(overlap, of_p, of_y)
        # an absent class has y = 0 and counts for nothing; its denominator may be 0 where s is
        losses = 1 - (shared + self.smooth) / (whole + self.smooth).clamp(min=1e-12)
        return self.loss_weight * (losses * (of_y > 0)).mean()
