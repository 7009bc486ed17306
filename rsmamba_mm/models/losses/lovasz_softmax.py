"""The Lovász-Softmax loss."""

from __future__ import annotations

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn


def lovasz_extension(errors: Tensor, foreground: Tensor) -> Tensor:
    """The Lovász extension of the Jaccard loss (arXiv:1705.08790, Eq. 8 and Alg. 1).

    Args:
        errors (Tensor): Of P pixels, ``(…, P)``, at least 0; 0 for those that do not count.
        foreground (Tensor): 1 for pixels of the class, else 0, ``(…, P)``.

    Returns:
        Tensor: ``(…)``.
    """
    errors, places = errors.sort(dim=-1, descending=True)
    foreground = foreground.gather(-1, places)
    of_class = foreground.sum(-1, keepdim=True)
    union = of_class + (1 - foreground).cumsum(-1)
    jaccard = 1 - (of_class - foreground.cumsum(-1)) / union.clamp(min=1)
    steps = torch.diff(jaccard, dim=-1, prepend=torch.zeros_like(of_class))
    return (errors * steps).sum(-1)


@MODELS.register_module()
class LovaszSoftmaxLoss(nn.Module):
    """Lovász-Softmax loss (arXiv:1705.08790): a surrogate of the intersection over union, as the mean over
    the classes that are present.

    mmseg's ``LovaszLoss`` gives the same where a pixel of each image is valid, and no number or an error
    where none is.

    Args:
        per_image (bool): Whether to take the mean over the images, of those with a valid pixel, instead of
            all pixels of the batch at once. Defaults to False.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str): Its name in the log. Defaults to ``'loss_lovasz'``.
    """

    def __init__(
        self, per_image: bool = False, loss_weight: float = 1.0, loss_name: str = 'loss_lovasz'
    ) -> None:
        super().__init__()
        self.per_image, self.loss_weight, self.loss_name = per_image, loss_weight, loss_name

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255, **kwargs
    ) -> Tensor:
        """Compute the loss.

        Args:
            pred (Tensor): Logits ``(B, C, H, W)``; with one channel, of class 1, the only one that counts.
            target (Tensor): Classes ``(B, H, W)``, int64.
            weight (Tensor, optional): Of each pixel, ``(B, H, W)``; those of weight 0 do not count.
                Defaults to None.
            ignore_index (int): Class of pixels that do not count. Defaults to 255.

        Returns:
            Tensor: The loss, a scalar; 0 where no pixel is valid.
        """
        pred = pred.to(torch.promote_types(pred.dtype, torch.float32))
        binary = pred.shape[1] == 1
        p = pred.sigmoid() if binary else pred.softmax(1)
        classes = torch.arange(1, 2) if binary else torch.arange(pred.shape[1])
        valid = target != ignore_index
        if weight is not None:
            valid = valid & (weight > 0)
        y = (target.unsqueeze(1) == classes.to(target.device).view(1, -1, 1, 1)) & valid.unsqueeze(1)
        y = y.to(p.dtype)
        errors = (y - p).abs() * valid.unsqueeze(1)
        if self.per_image:
            errors, y = errors.flatten(2), y.flatten(2)
        else:
            errors, y = (x.transpose(0, 1).flatten(1).unsqueeze(0) for x in (errors, y))
        present = (y.sum(-1) > 0).to(p.dtype)
        losses = (lovasz_extension(errors, y) * present).sum(1) / present.sum(1).clamp(min=1)
        return self.loss_weight * losses.sum() / (present.sum(1) > 0).sum().clamp(min=1)
