"""Data sets of this package, registered in MMEngine's root registry."""

from .scene_datasets import AID, RESISC45, SceneFolder, UCMerced
from .synthetic_scenes import (
    SCENE_CLASSES,
    SCENE_MASK_CLASSES,
    SCENE_MASK_PALETTE,
    SyntheticScene,
    SyntheticScenes,
    mean_colour_accuracy,
    render_scene,
)
from .transforms import LoadGeoImage, LoadSceneImage, RandomBandGain

__all__ = [
    'AID',
    'RESISC45',
    'SCENE_CLASSES',
    'SCENE_MASK_CLASSES',
    'SCENE_MASK_PALETTE',
    'LoadGeoImage',
    'LoadSceneImage',
    'RandomBandGain',
    'SceneFolder',
    'SyntheticScene',
    'SyntheticScenes',
    'UCMerced',
    'mean_colour_accuracy',
    'render_scene',
]
