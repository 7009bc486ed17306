"""Data sets of this package, registered in MMEngine's root registry.

Those of segmentation are registered where mmsegmentation is installed.
"""

from importlib.util import find_spec

from .. import _openmmlab  # noqa: F401 - cures come first
from .aid import AID
from .checking import SkipFaulty, check_dataset
from .mosaic import NativeMosaic
from .rare_classes import RareClassSampler
from .released import RSClsDataset
from .resisc45 import RESISC45
from .rotation import AdaptiveRotation
from .scene_folder import SceneFolder
from .synthetic_scenes import (
    SCENE_CLASSES,
    SCENE_MASK_CLASSES,
    SCENE_MASK_PALETTE,
    SyntheticScene,
    SyntheticScenes,
    mean_colour_accuracy,
    render_landscape,
    render_scene,
)
from .transforms import (
    LoadGeoImage,
    LoadPaletteAnnotations,
    LoadSceneImage,
    RandomBandGain,
    RandomTranspose,
    read_bands,
)
from .ucmerced import UCMerced
from .unlabelled import UnlabelledImages

__all__ = [
    'AID',
    'RESISC45',
    'SCENE_CLASSES',
    'SCENE_MASK_CLASSES',
    'SCENE_MASK_PALETTE',
    'AdaptiveRotation',
    'LoadGeoImage',
    'LoadPaletteAnnotations',
    'LoadSceneImage',
    'NativeMosaic',
    'RSClsDataset',
    'RandomBandGain',
    'RandomTranspose',
    'RareClassSampler',
    'SceneFolder',
    'SkipFaulty',
    'SyntheticScene',
    'SyntheticScenes',
    'UCMerced',
    'UnlabelledImages',
    'check_dataset',
    'mean_colour_accuracy',
    'read_bands',
    'render_landscape',
    'render_scene',
]

if find_spec('mmseg') is not None:
    from .isprs_patches import ISPRSPatches
    from .land_cover import DubaiDataset
    from .uavid import UAVidDataset

    __all__ += ['DubaiDataset', 'ISPRSPatches', 'UAVidDataset']
