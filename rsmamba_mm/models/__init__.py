"""Registered models; importing this registers them in MMEngine's root registries.

Heads and segmentors are mmseg's and are registered where mmsegmentation is installed.
"""

from importlib.util import find_spec

from .. import _openmmlab  # noqa: F401 - cures come first
from .backbones import AFMNet, BANet, ClusterMamba, ResT, RS3MambaBackbone, RSMamba, Vim, VMamba
from .complexity import count_scans
from .losses import (
    LovaszSoftmaxLoss,
    SoftCrossEntropyLoss,
    SoftDiceLoss,
    SoftJaccardLoss,
    SoftmaxFocalLoss,
)
from .necks import DCFAM, CMUNetDecoder, MambaSegDecoder, UNetFormerDecoder

__all__ = [
    'DCFAM',
    'AFMNet',
    'BANet',
    'CMUNetDecoder',
    'ClusterMamba',
    'LovaszSoftmaxLoss',
    'MambaSegDecoder',
    'RS3MambaBackbone',
    'RSMamba',
    'ResT',
    'SoftCrossEntropyLoss',
    'SoftDiceLoss',
    'SoftJaccardLoss',
    'SoftmaxFocalLoss',
    'UNetFormerDecoder',
    'VMamba',
    'Vim',
]

if find_spec('mmseg') is not None:
    from .heads import (
        DCSwinHead,
        LocalSupervisionHead,
        MANetHead,
        PixelHead,
        PixelShuffleHead,
        PyramidMambaHead,
        UNetFormerAuxHead,
        UNetFormerHead,
    )
    from .segmentors import SmoothEncoderDecoder

    __all__ += [
        'DCSwinHead',
        'LocalSupervisionHead',
        'MANetHead',
        'PixelHead',
        'PixelShuffleHead',
        'PyramidMambaHead',
        'SmoothEncoderDecoder',
        'UNetFormerAuxHead',
        'UNetFormerHead',
    ]

if find_spec('mmpretrain') is not None:
    from .classifiers import AverageScoreTTA, DistilledClassifier
    from .heads.moe_cls_head import MoEClsHead
    from .hub import register_models
    from .selfsup import BandsDataPreprocessor, RoMA, RoMADecoder, RoMAHead

    __all__ += [
        'AverageScoreTTA',
        'BandsDataPreprocessor',
        'DistilledClassifier',
        'MoEClsHead',
        'RoMA',
        'RoMADecoder',
        'RoMAHead',
    ]

    register_models()

count_scans()
