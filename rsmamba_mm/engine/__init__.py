"""Hooks, optimisers and schedules, registered in MMEngine's root registry.

The pictures of classified images are registered where mmpretrain is installed, those of segmented ones
where mmsegmentation is.
"""

from importlib.util import find_spec

from .. import _openmmlab  # noqa: F401 - cures come first
from .check_classes import CheckClassesHook
from .check_data import CheckDataHook
from .check_finite import CheckFiniteHook
from .classification_report import ClassificationReportHook
from .compile import CompileHook
from .exact_resume import ExactTrainLoop
from .learning_rate import CheckLearningRateHook, SegmentorOptimWrapperConstructor
from .lookahead import LookaheadAdamW
from .maps import LandCoverMapHook
from .mixed_precision import BFloat16OptimWrapper
from .muon import MuonAdamW, MuonOptimWrapperConstructor
from .safe_checkpoint import SafeCheckpointHook
from .schedules import CosineToEndLR
from .segmentation_report import SegmentationReportHook

__all__ = [
    'BFloat16OptimWrapper',
    'CheckClassesHook',
    'CheckDataHook',
    'CheckFiniteHook',
    'CheckLearningRateHook',
    'ClassificationReportHook',
    'CompileHook',
    'CosineToEndLR',
    'ExactTrainLoop',
    'LandCoverMapHook',
    'LookaheadAdamW',
    'MuonAdamW',
    'MuonOptimWrapperConstructor',
    'SafeCheckpointHook',
    'SegmentationReportHook',
    'SegmentorOptimWrapperConstructor',
]

if find_spec('mmpretrain') is not None:
    from .scene_pictures import SceneVisualizationHook

    __all__ += ['SceneVisualizationHook']

if find_spec('mmseg') is not None:
    from .land_cover_pictures import LandCoverVisualizationHook

    __all__ += ['LandCoverVisualizationHook']
