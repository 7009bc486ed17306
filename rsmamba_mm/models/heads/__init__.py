"""Heads: those of mmseg need mmsegmentation, ``moe_cls_head`` needs mmpretrain."""

from importlib.util import find_spec

__all__ = []

if find_spec('mmseg') is not None:
    from .dcswin_head import DCSwinHead
    from .local_supervision_head import LocalSupervisionHead
    from .manet_head import MANetHead
    from .pixel_head import PixelHead
    from .pixel_shuffle_head import PixelShuffleHead
    from .pyramid_mamba_head import PyramidMambaHead
    from .unetformer_head import UNetFormerAuxHead, UNetFormerHead

    __all__ += [
        'DCSwinHead',
        'LocalSupervisionHead',
        'MANetHead',
        'PixelHead',
        'PixelShuffleHead',
        'PyramidMambaHead',
        'UNetFormerAuxHead',
        'UNetFormerHead',
    ]
