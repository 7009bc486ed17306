"""Data sets of this package, registered in MMEngine's root registry."""

from .scene_datasets import AID, RESISC45, UCMerced
from .synthetic_scenes import (
    SCENE_CLASSES,
    SCENE_MASK_CLASSES,
    SCENE_MASK_PALETTE,
    SyntheticScene,
    SyntheticScenes,
    mean_colour_accuracy,
    render_scene,
)

__all__ = [
    'AID',
    'RESISC45',
    'SCENE_CLASSES',
    'SCENE_MASK_CLASSES',
    'SCENE_MASK_PALETTE',
    'SyntheticScene',
    'SyntheticScenes',
    'UCMerced',
    'mean_colour_accuracy',
    'render_scene',
]
