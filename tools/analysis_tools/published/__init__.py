"""The formulations of the classifiers' authors, with the reference scan in place of their kernels: the
peers of the benchmarks, on the weights of our models."""

from __future__ import annotations

from collections.abc import Callable

from mmengine.model import BaseModel
from torch import Tensor


def formulation(model: BaseModel) -> Callable[[Tensor], Tensor]:
    """What computes the logits of a classifier of this package as its authors' code does.

    Args:
        model (BaseModel): With the backbone ``Vim`` or ``VMamba``, of which it takes the weights.

    Returns:
        Callable: From images ``(B, C, H, W)`` to logits.
    """
    kind = type(model.backbone).__name__
    if kind == 'Vim':
        from .vim import published_vim

        return published_vim(model)
    from .vmamba import published_vmamba

    return published_vmamba(model)
