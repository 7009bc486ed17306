"""Learning rate schedules."""

from __future__ import annotations

from mmengine.optim import CosineAnnealingLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class CosineToEndLR(CosineAnnealingLR):
    """Cosine after a warm-up, to the end of the training, however long that is.

    MMEngine gives a schedule without an ``end`` that of the training, and refuses one that ends before it
    begins. A training that is over before the warm-up never comes to this one.

    Args:
        optimizer: Optimiser or its wrapper.
        *args: Further arguments of mmengine's ``CosineAnnealingLR``.
        begin (int): Epoch or step that it begins at. Defaults to 0.
        end (int): Where it ends. Defaults to the end of the training.
        **kwargs: As ``*args``.
    """

    def __init__(self, optimizer, *args, begin: int = 0, end: int = 1_000_000_000, **kwargs) -> None:
        super().__init__(optimizer, *args, begin=begin, end=max(end, begin + 1), **kwargs)
