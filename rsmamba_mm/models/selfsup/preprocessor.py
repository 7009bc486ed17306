"""Images of any bands, for pre-training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from mmpretrain.models.utils import SelfSupDataPreprocessor


@MODELS.register_module()
class BandsDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's preprocessor of pre-training, which knows one band or three, for any number.

    Args:
        mean (Sequence[float]): Of each band.
        std (Sequence[float]): Of each band.
        to_rgb (bool): Whether to turn the order of three bands round. Defaults to False.
        non_blocking (bool): Whether to copy to a GPU beside its work. Defaults to False.

    Raises:
        ValueError: If mean and std are not of the same bands, or ``to_rgb`` is of other than three.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        to_rgb: bool = False,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(to_rgb=to_rgb, non_blocking=non_blocking)
        if len(mean) != len(std) or not mean or min(std) <= 0:
            raise ValueError(
                'BandsDataPreprocessor: mean and std have one value for each band, std above 0, got '
                f'mean={list(mean)}, std={list(std)}'
            )
        if to_rgb and len(mean) != 3:
            raise ValueError(f'BandsDataPreprocessor: to_rgb is of three bands, got {len(mean)}')
        self._enable_normalize = True
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), False)
