"""Painters of the synthetic scenes: a canvas, what is drawn on it, one painter per scene class."""

from .materials import MASK_CLASSES
from .scenes import SCENE_TYPES, SceneType, paint_scene

__all__ = ['MASK_CLASSES', 'SCENE_TYPES', 'SceneType', 'paint_scene']
