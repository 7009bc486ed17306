"""The scene classes, and how one is painted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .built import (
    paint_crossroads,
    paint_harbor,
    paint_parking_lot,
    paint_residential,
    paint_runway,
    paint_storage_tanks,
)
from .canvas import Scene
from .nature import paint_beach, paint_crop_field, paint_forest, paint_lake, paint_orchard, paint_river


class SceneType(NamedTuple):
    """How one scene class is painted."""

    painter: Callable[[Scene], None]
    extent: float  # typical ground length of the shorter image side, in metres


SCENE_TYPES = {
    'beach': SceneType(paint_beach, 120),
    'crop_field': SceneType(paint_crop_field, 150),
    'crossroads': SceneType(paint_crossroads, 80),
    'forest': SceneType(paint_forest, 90),
    'harbor': SceneType(paint_harbor, 95),
    'lake': SceneType(paint_lake, 140),
    'orchard': SceneType(paint_orchard, 90),
    'parking_lot': SceneType(paint_parking_lot, 62),
    'residential': SceneType(paint_residential, 105),
    'river': SceneType(paint_river, 140),
    'runway': SceneType(paint_runway, 150),
    'storage_tanks': SceneType(paint_storage_tanks, 110),
}
SCALE_RANGE = (0.6, 1.6)


def paint_scene(
    name: str, height: int, width: int, rng: np.random.Generator, extent: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one scene.

    Args:
        name (str): Key of ``SCENE_TYPES``.
        height (int): Image height in pixels.
        width (int): Image width in pixels.
        rng (np.random.Generator): Source of all randomness.
        extent (float, optional): Ground length of the shorter side, in metres. Defaults to None, one
            that is usual for the class.

    Returns:
        tuple[np.ndarray, np.ndarray]: BGR image (H, W, 3) and mask (H, W), both uint8.
    """
    scene_type = SCENE_TYPES[name]
    if extent is None:
        extent = scene_type.extent * math.exp(rng.uniform(*np.log(SCALE_RANGE)))
    scene = Scene(height, width, extent, rng)
    scene_type.painter(scene)
    return scene.develop(), scene.mask
