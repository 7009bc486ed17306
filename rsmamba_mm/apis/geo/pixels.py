"""From pixels to coordinates."""

from __future__ import annotations

import numpy as np
from rasterio.transform import Affine


def placed(transform: Affine, xy: np.ndarray) -> np.ndarray:
    """Coordinates ``(N, 2)`` of points ``(N, 2)`` in pixels: column, row."""
    a, b, c, d, e, f = transform[:6]
    return xy @ np.array([[a, d], [b, e]]) + (c, f)


def moved(transform: Affine, left: float, top: float) -> Affine:
    """The transform of a raster that begins there, in pixels of this one."""
    a, b, c, d, e, f = transform[:6]
    return Affine(a, b, c + a * left + b * top, d, e, f + d * left + e * top)


def coarser(transform: Affine, factor: int) -> Affine:
    """The transform of a raster whose pixels are as many times as wide and high."""
    a, b, c, d, e, f = transform[:6]
    return Affine(a * factor, b * factor, c, d * factor, e * factor, f)
