"""What losses of regions sum for each class."""

from __future__ import annotations

import torch
from torch import Tensor


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
