"""The area of interest: polygons of a file, on the pixels of a raster."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyproj
import rasterio.features
import shapely
from pyogrio.errors import DataSourceError
from pyogrio.raw import read
from rasterio.transform import Affine

from ...errors import MissingDataError, OptionError
from .pixels import moved, placed
from .sources import Source

ROUNDED = 1e-3  # of a pixel: what an edge may lie off by its coordinates' roundness


@dataclass(frozen=True)
class Area:
    """Polygons in the coordinates of a raster."""

    shapes: tuple[shapely.Geometry, ...]

    def mask(self, transform: Affine, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Pixels ``(H, W)`` whose centre lies inside; rows and columns from and to."""
        return rasterio.features.geometry_mask(
            self.shapes,
            (rows[1] - rows[0], columns[1] - columns[0]),
            moved(transform, columns[0], rows[0]),
            invert=True,
        )

    def bounds(self, source: Source) -> tuple[int, int, int, int]:
        """The pixels around it: top, left, height, width.

        Raises:
            OptionError: If it lies beside the raster.
        """
        corners = shapely.transform(
            shapely.geometrycollections(list(self.shapes)),
            partial(placed, ~source.transform),
        ).bounds
        left, top = (max(0, int(np.floor(v + ROUNDED))) for v in corners[:2])
        right, bottom = (
            min(n, int(np.ceil(v - ROUNDED)))
            for n, v in zip((source.width, source.height), corners[2:], strict=True)
        )
        if left >= right or top >= bottom:
            raise OptionError(f'aoi: the area lies outside of {source.name}')
        return top, left, bottom - top, right - left


def read_area(path: str | Path, source: Source) -> Area:
    """The polygons of all features of a vector file (GeoJSON, GeoPackage, …), in the raster's coordinates.

    Raises:
        MissingDataError: If it cannot be read.
        OptionError: If the raster or the file has no coordinate reference system, or there are no polygons.
    """
    if source.crs is None:
        raise OptionError(f'aoi: {source.name} has no coordinate reference system to lay the area on')
    if not Path(path).is_file():
        raise MissingDataError(f'aoi: no such file: {path} (from {Path.cwd()})')
    try:
        meta, _, geometry, _ = read(path, columns=[])
    except DataSourceError as error:
        raise MissingDataError(f'aoi: {path} cannot be read ({error})') from error
    shapes = [shape for shape in shapely.from_wkb(geometry) if shape is not None]
    shapes = [shape for shape in shapes if shape.geom_type in ('Polygon', 'MultiPolygon')]
    if not shapes:
        raise OptionError(f'aoi: {path} has no polygons')
    if not meta['crs']:
        raise OptionError(f'aoi: {path} does not say its coordinate reference system')
    transformer = pyproj.Transformer.from_crs(meta['crs'], source.crs.to_wkt(), always_xy=True)
    moved = [
        shapely.transform(
            # long edges stay in place when they bend
            shapely.segmentize(shape, max(shape.length / 1000, 1e-9)),
            lambda xy: np.stack(transformer.transform(*xy.T), axis=1),
        )
        for shape in shapes
    ]
    return Area(tuple(moved))
