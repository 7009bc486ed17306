"""Heads of mmseg: import needs mmsegmentation."""

from .local_supervision_head import LocalSupervisionHead

__all__ = ['LocalSupervisionHead']
