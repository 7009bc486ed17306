"""Data sets of this package, registered in MMEngine's root registry."""

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
    'SCENE_CLASSES',
    'SCENE_MASK_CLASSES',
    'SCENE_MASK_PALETTE',
    'SyntheticScene',
    'SyntheticScenes',
    'mean_colour_accuracy',
    'render_scene',
]
