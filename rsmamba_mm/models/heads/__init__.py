"""Heads of mmseg: import needs mmsegmentation."""

from .local_supervision_head import LocalSupervisionHead
from .pixel_head import PixelHead

__all__ = ['LocalSupervisionHead', 'PixelHead']
