"""Heads of mmseg: import needs mmsegmentation."""

from .dcswin_head import DCSwinHead
from .local_supervision_head import LocalSupervisionHead
from .manet_head import MANetHead
from .pixel_head import PixelHead
from .pixel_shuffle_head import PixelShuffleHead
from .pyramid_mamba_head import PyramidMambaHead

__all__ = [
    'DCSwinHead',
    'LocalSupervisionHead',
    'MANetHead',
    'PixelHead',
    'PixelShuffleHead',
    'PyramidMambaHead',
]
