"""Focal loss of several classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn


def softmax_focal_loss(pred: Tensor, target: Tensor, gamma: float = 2.0, ignore_index: int = 255) -> Tensor:
    """``-(1 - p)^γ log p`` of each pixel, ``p`` the probability of its class.

    Args:
        pred (Tensor): Logits ``(B, C, H, W)`` of two classes or more.
        target (Tensor): Classes ``(B, H, W)``, int64.
        gamma (float): γ. Defaults to 2.
        ignore_index (int): Class of pixels that do not count. Defaults to 255.

    Returns:
        Tensor: ``(B, H, W)``, 0 where ignored.
    """
    losses = F.cross_entropy(pred, target, ignore_index=ignore_index, reduction='none')
    # the root of 0 has no slope
    return (-torch.expm1(-losses)).clamp(min=1e-8) ** gamma * losses


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Focal loss (arXiv:1708.02002, Eq. 5) of classes that exclude one another, as the mean over valid
    pixels.

    mmseg's ``FocalLoss`` has a sigmoid for each class and counts ignored pixels in its mean; that of the
    maintained fork cannot read maps of classes on a CPU.

    Args:
        gamma (float): How much well-classified pixels lose weight; 0 is cross-entropy. Defaults to 2.
        class_weight (Sequence[float], optional): Factor α of each class. Defaults to None.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str): Its name in the log. Defaults to ``'loss_focal'``.

    Raises:
        ValueError: If ``gamma`` is negative.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_focal',
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f'SoftmaxFocalLoss: gamma is at least 0, got {gamma}')
        self.gamma, self.class_weight = gamma, class_weight
        self.loss_weight, self.loss_name = loss_weight, loss_name

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255, **kwargs
    ) -> Tensor:
        """Compute the loss.

        Args:
            pred (Tensor): Logits ``(B, C, H, W)``; with one channel, of class 1 against class 0.
            target (Tensor): Classes ``(B, H, W)``, int64.
            weight (Tensor, optional): Of each pixel, ``(B, H, W)``. Defaults to None.
            ignore_index (int): Class of pixels that do not count. Defaults to 255.

        Returns:
            Tensor: The loss, a scalar; 0 where no pixel is valid.

        Raises:
            ValueError: If there are not as many ``class_weight`` as classes.
        """
        pred = pred.to(torch.promote_types(pred.dtype, torch.float32))
        if pred.shape[1] == 1:
            pred = torch.cat([torch.zeros_like(pred), pred], 1)
        losses, valid = softmax_focal_loss(pred, target, self.gamma, ignore_index), target != ignore_index
        if self.class_weight is not None:
            if len(self.class_weight) != pred.shape[1]:
                raise ValueError(
                    f'SoftmaxFocalLoss: class_weight has {len(self.class_weight)} numbers for '
                    f'{pred.shape[1]} classes'
                )
            losses = losses * pred.new_tensor(self.class_weight)[target.where(valid, target.new_zeros(()))]
        if weight is not None:
            losses = losses * weight
        return self.loss_weight * losses.sum() / valid.sum().clamp(min=1)
