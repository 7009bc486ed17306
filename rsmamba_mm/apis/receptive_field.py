"""From how far away a model takes what it says of a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OptionError

SHARES = (0.2, 0.3, 0.5, 0.99)


def effective_receptive_field(model: nn.Module, images: Iterable[Tensor]) -> np.ndarray:
    """How much each pixel says in what a model makes of the centre (Luo et al., arXiv:1701.04128).

    ``mean over images of Σ_channels |∂ Σ_c v_c y[c, centre] / ∂ x|``, where y is a segmenter's map of
    classes, or the last feature map of a classifier's backbone, and v are random signs, drawn anew for each
    image and the same in each run: the plain sum of a normalised feature says nothing, it is constant.

    Args:
        model (nn.Module): A segmenter or classifier of OpenMMLab's, in evaluation mode.
        images (Iterable[Tensor]): Batches ``(B, C, H, W)`` as the model takes them, normalised and of one
            size.

    Returns:
        np.ndarray: ``(H, W)`` float64, its sum is one.

    Raises:
        OptionError: If there is no image, sizes differ, or the model makes no map.
    """
    total, signs = None, torch.Generator().manual_seed(0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        with _feature_maps(model) as forward:
            for batch in images:
                found = _one(forward, batch, signs)
                if total is not None and total.shape != found.shape:
                    raise OptionError(
                        f'the images are of several sizes ({tuple(total.shape)} and {tuple(found.shape)}): '
                        'give one size'
                    )
                total = found if total is None else total + found
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
    if total is None or not total.sum() > 0:
        raise OptionError(
            'no image was given' if total is None else 'no pixel says anything: the gradient is zero'
        )
    return (total / total.sum()).numpy()


def field_sides(field: np.ndarray, shares: Iterable[float] = SHARES) -> dict[float, float]:
    """How large a centred square has to be to hold a share of the field.

    Args:
        field (np.ndarray): ``(H, W)``, its sum is one.
        shares (Iterable[float]): Between 0 and 1. Defaults to 0.2, 0.3, 0.5 and 0.99.

    Returns:
        dict[float, float]: Of each share the side of the square over that of the image: 1 is the image.
    """
    height, width = field.shape
    y, x = ((np.arange(side) + 0.5) / side * 2 - 1 for side in (height, width))
    distance = np.maximum(np.abs(y)[:, None], np.abs(x)[None]).ravel()
    order = np.argsort(distance, kind='stable')
    held = np.cumsum(field.ravel()[order])
    far = distance[order] + 1 / max(height, width)  # to the outer edge of the pixel
    places = np.minimum(np.searchsorted(held, list(shares)), len(far) - 1)
    return {share: min(1.0, float(far[place])) for share, place in zip(shares, places, strict=True)}


def _one(forward: Any, batch: Tensor, signs: torch.Generator) -> Tensor:
    x = batch.detach().clone().requires_grad_()
    y = forward(x)
    if not isinstance(y, Tensor) or y.ndim != 4:
        raise OptionError('the model makes no map of features (B, C, h, w): it has no receptive field here')
    centre = y[:, :, y.shape[2] // 2, y.shape[3] // 2]
    drawn = torch.randint(0, 2, centre.shape, generator=signs).to(centre) * 2 - 1
    (gradient,) = torch.autograd.grad((drawn * centre).sum(), x)
    return gradient.abs().sum((0, 1)).double().cpu()


@contextmanager
def _feature_maps(model: Any) -> Iterator[Any]:
    if hasattr(model, 'decode_head'):
        yield lambda x: model(x, None, mode='tensor')
        return
    backbone = getattr(model, 'backbone', model)
    out_type = getattr(backbone, 'out_type', None)
    if out_type is not None:
        backbone.out_type = 'featmap'
    try:
        yield lambda x: backbone(x)[-1]
    finally:
        if out_type is not None:
            backbone.out_type = out_type
