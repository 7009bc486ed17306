"""Cross-entropy with smoothed labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SoftCrossEntropyLoss(nn.Module):
    """Cross-entropy of UNetMamba (arXiv:2408.11545), with smoothed labels as released.

    Args:
        smooth_factor (float): Share ε of a label that is spread over all classes. Defaults to 0, the
            paper's; the released recipe takes 0.05.
        avg_non_ignore (bool): Whether the mean is over the valid pixels; False divides by all pixels,
            ignored ones too, as the released code does. Defaults to True.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str): Its name in the log. Defaults to ``'loss_ce'``.

    Raises:
        ValueError: If ``smooth_factor`` is not in [0, 1).
    """

    def __init__(
        self,
        smooth_factor: float = 0.0,
        avg_non_ignore: bool = True,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ce',
    ) -> None:
        super().__init__()
        if not 0 <= smooth_factor < 1:
            raise ValueError(f'SoftCrossEntropyLoss: smooth_factor is in [0, 1), got {smooth_factor}')
        self.smooth_factor, self.avg_non_ignore = smooth_factor, avg_non_ignore
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
        """
        valid = target != ignore_index
        if pred.shape[1] == 1:
            smooth = target.to(pred.dtype) * (1 - self.smooth_factor) + self.smooth_factor / 2
            losses = F.binary_cross_entropy_with_logits(pred[:, 0], smooth, reduction='none') * valid
        else:
            losses = F.cross_entropy(
                pred,
                target,
                ignore_index=ignore_index,
                label_smoothing=self.smooth_factor,
                reduction='none',
            )
        if weight is not None:
            losses = losses * weight
        count = valid.sum() if self.avg_non_ignore else torch.tensor(target.numel(), device=pred.device)
        return self.loss_weight * losses.sum() / count.clamp(min=1)
