"""Registered models; importing this registers them in MMEngine's root registries.

Heads and segmentors are mmseg's and are registered where mmsegmentation is installed.
"""

from importlib.util import find_spec

from .. import compat

compat.apply()

# the cures of compat come before OpenMMLab's imports
from .backbones import ResT, RSMamba  # noqa: E402
from .complexity import count_scans  # noqa: E402
from .losses import SoftCrossEntropyLoss, SoftDiceLoss  # noqa: E402
from .necks import MambaSegDecoder  # noqa: E402

__all__ = ['MambaSegDecoder', 'RSMamba', 'ResT', 'SoftCrossEntropyLoss', 'SoftDiceLoss']

if find_spec('mmseg') is not None:
    from .heads import LocalSupervisionHead, PixelHead
    from .segmentors import SmoothEncoderDecoder

    __all__ += ['LocalSupervisionHead', 'PixelHead', 'SmoothEncoderDecoder']

if find_spec('mmpretrain') is not None:
    from .hub import register_models

    register_models()

count_scans()
