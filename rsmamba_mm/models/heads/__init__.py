"""Heads of mmseg: import needs mmsegmentation."""

from .local_supervision_head import LocalSupervisionHead
from .pixel_head import PixelHead
from .pyramid_mamba_head import PyramidMambaHead

__all__ = ['LocalSupervisionHead', 'PixelHead', 'PyramidMambaHead']
