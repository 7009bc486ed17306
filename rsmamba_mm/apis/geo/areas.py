"""True areas on the ground, whatever the coordinates."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import (
    LambertAzimuthalEqualAreaConversion,
    LambertCylindricalEqualAreaConversion,
)
from rasterio.crs import CRS
from rasterio.transform import Affine

from .grid import Strip
from .pixels import placed

ROWS = 512  # that are read at a time: blocks of a map
CELL = 64  # pixels of a side, at most, whose areas are taken for equal
EXTENT = 2000.0  # metres of a side of a cell, at most: beyond a pixel


class EqualArea:
    """A projection of the ellipsoid that keeps areas, around the middle of a raster.

    Of a geographic system it is the cylindrical one, whose meridians and parallels stay straight, so that
    the area of a pixel is exact; of others the azimuthal one.

    Args:
        crs (CRS): Coordinate reference system of the raster.
        transform (Affine): Of the raster.
        shape (tuple[int, int]): Height and width of the raster.
    """

    def __init__(self, crs: CRS, transform: Affine, shape: tuple[int, int]) -> None:
        own = pyproj.CRS(crs.to_wkt()).to_2d()
        geodetic = own.geodetic_crs
        (middle,) = placed(transform, np.array([[shape[1] / 2, shape[0] / 2]]))
        degrees = pyproj.Transformer.from_crs(own, geodetic, always_xy=True)
        longitude, latitude = degrees.transform(*middle)
        if own.is_geographic:
            conversion = LambertCylindricalEqualAreaConversion(longitude_natural_origin=longitude)
        else:
            conversion = LambertAzimuthalEqualAreaConversion(latitude, longitude)
        self._transformer = pyproj.Transformer.from_crs(
            own, ProjectedCRS(conversion, geodetic_crs=geodetic), always_xy=True
        )

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """Metres ``(N, 2)`` of coordinates ``(N, 2)``."""
        return np.stack(self._transformer.transform(*np.asarray(xy).T), axis=1)

    def of_cells(self, transform: Affine, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Areas in m² of the cells between edges that are given in pixels, ``(rows - 1, columns - 1)``."""
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2).astype(np.float64)
        nodes = self(placed(transform, grid)).reshape(len(rows), len(columns), 2)
        one = nodes[1:, 1:] - nodes[:-1, :-1]
        other = nodes[1:, :-1] - nodes[:-1, 1:]
        return np.abs(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]) / 2


def class_areas(path: Path, classes: int) -> tuple[list[int], list[float] | None]:
    """Pixels and m² of each class of a map; no m² without a coordinate reference system.

    Args:
        path (Path): The map.
        classes (int): Number of the classes.
    """
    pixels, areas = np.zeros(classes, np.int64), np.zeros(classes)
    with rasterio.open(path) as raster:
        equal = EqualArea(raster.crs, raster.transform, raster.shape) if raster.crs else None
        side = _cell(equal, raster.transform, raster.shape) if equal else CELL
        columns = np.arange(0, raster.width, side)
        for strip in row_strips(raster.shape, ROWS):
            labels = raster.read(1, window=((strip.top, strip.bottom), (0, raster.width)))
            rows = np.arange(0, labels.shape[0], side)
            per_pixel = np.zeros((len(rows), len(columns)))
            if equal:
                edges = (np.append(rows, labels.shape[0]) + strip.top, np.append(columns, raster.width))
                per_pixel = equal.of_cells(raster.transform, *edges) / np.outer(*map(np.diff, edges))
            for value in range(classes):
                inside = np.add.reduceat((labels == value).astype(np.int64), rows, axis=0)
                counts = np.add.reduceat(inside, columns, axis=1)
                pixels[value] += counts.sum()
                areas[value] += (counts * per_pixel).sum()
    return pixels.tolist(), areas.tolist() if equal else None


def write_areas(
    path: Path,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    pixels: Sequence[int],
    areas: Sequence[float] | None,
) -> Path:
    """A table with value, name, pixels, share of the mapped pixels, m² and colour of each class."""
    total = max(1, sum(pixels))
    with path.open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file)
        table.writerow(['value', 'class', 'pixels', 'share', 'area_m2', 'red', 'green', 'blue'])
        for value, (name, count, colour) in enumerate(zip(classes, pixels, palette, strict=True)):
            area = f'{areas[value]:.2f}' if areas is not None else ''
            table.writerow([value, name, count, f'{count / total:.6f}', area, *colour])
    return path


def row_strips(shape: tuple[int, int], rows: int) -> list[Strip]:
    """A raster's rows, some at a time."""
    height, width = shape
    return [
        Strip(0, index, top, min(top + rows, height), 0, width)
        for index, top in enumerate(range(0, height, rows))
    ]


def _cell(equal: EqualArea, transform: Affine, shape: tuple[int, int]) -> int:
    """Side of the cells in pixels: small enough for one area to serve."""
    row, column = (n // 2 for n in shape)
    pixel = equal.of_cells(transform, np.array([row, row + 1]), np.array([column, column + 1])).item()
    side = CELL
    while side > 1 and side * pixel**0.5 > EXTENT:
        side //= 2
    return side
