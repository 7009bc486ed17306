"""A map as polygons, merged across the pieces in which it is read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyproj
import rasterio
import rasterio.features
import shapely
from pyogrio import set_gdal_config_options
from pyogrio.raw import write
from rasterio.crs import CRS
from rasterio.transform import Affine

from .areas import EqualArea, row_strips
from .pixels import placed
from .products import NODATA

ROWS = 2048  # that are read at a time
BATCH = 10_000  # polygons that are written at a time


class Region(NamedTuple):
    """Connected pixels of one class: value, area in m² (or pixels), and outline in coordinates."""

    value: int
    area: float
    shape: shapely.Polygon


def trace(path: Path, simplify: float = 0.0, min_area: float = 0.0) -> Iterator[Region]:
    """The regions of a map, whose pixels touch by their sides; memory grows with their number alone.

    Args:
        path (Path): The map.
        simplify (float): Tolerance in units of the coordinates; neighbours keep their common border.
            Defaults to 0, not at all.
        min_area (float): Smaller ones are left out. Defaults to 0.
    """
    with rasterio.open(path) as raster:
        transform = raster.transform
        equal = EqualArea(raster.crs, transform, raster.shape) if raster.crs else None
        pixel = abs(transform.determinant)
        tolerance = simplify / pixel**0.5
        for values, shapes in _merged(_pieces(raster, tolerance)):
            outlines = shapely.transform(shapes, partial(placed, transform))
            values, outlines = _mended(values, outlines, pixel / 1000)
            areas = (
                shapely.area(shapely.transform(outlines, equal))
                if equal
                else shapely.area(outlines) / pixel
            )
            for value, area, shape in zip(values, areas.tolist(), outlines, strict=True):
                if area >= min_area:
                    yield Region(value, area, shape)


def write_polygons(
    path: Path, regions: Iterator[Region], classes: Sequence[str], crs: CRS | None, when: str
) -> Path:
    """Write regions with ``value``, ``class`` and ``area_m2`` (without a reference system ``pixels``).

    Args:
        path (Path): A ``.gpkg`` in the map's coordinates, or a ``.geojson``, in longitude and latitude as
            its standard asks (RFC 7946).
        regions (Iterator[Region]): What to write.
        classes (Sequence[str]): Names of the values.
        crs (CRS, optional): Of the regions.
        when (str): What a GeoPackage is dated by, as ``'2026-01-31T12:00:00.000Z'``.
    """
    path.unlink(missing_ok=True)
    area = 'area_m2' if crs else 'pixels'
    (_write_geojson if path.suffix == '.geojson' else _write_geopackage)(
        path, regions, classes, crs, area, when
    )
    return path


def _pieces(
    raster: rasterio.DatasetReader, tolerance: float
) -> Iterator[tuple[int, int, list[int], np.ndarray]]:
    """Top, bottom, values and polygons (in pixels) of some rows at a time, no data among them."""
    for strip in row_strips(raster.shape, ROWS):
        labels = raster.read(1, window=((strip.top, strip.bottom), (0, raster.width)))
        place = Affine.translation(0, strip.top)
        found = list(rasterio.features.shapes(labels, transform=place))
        rings = (geometry['coordinates'] for geometry, _ in found)
        shapes = np.array([shapely.Polygon(shell, holes) for shell, *holes in rings])
        if tolerance > 0:
            # the outline stays, so that the pieces still fit together
            shapes = shapely.coverage_simplify(shapes, tolerance, simplify_boundary=False)
        yield strip.top, strip.bottom, [int(value) for _, value in found], shapes


def _merged(
    pieces: Iterator[tuple[int, int, list[int], np.ndarray]],
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Polygons that do not go on in the next piece; those that touch its edge wait and are merged."""
    waiting: dict[int, list[shapely.Polygon]] = {}
    for top, bottom, values, shapes in pieces:
        bounds = shapely.bounds(shapes)
        above, below = bounds[:, 1] <= top, bounds[:, 3] >= bottom
        joined: dict[int, list[shapely.Polygon]] = defaultdict(list, waiting)
        finished: list[tuple[int, shapely.Polygon]] = []
        waiting = defaultdict(list)
        for value, shape, up, down in zip(values, shapes, above, below, strict=True):
            if value == NODATA:
                continue
            if up and top > 0:
                joined[value].append(shape)
            elif down:
                waiting[value].append(shape)
            else:
                finished.append((value, shape))
        for value, parts in sorted(joined.items()):
            for shape in shapely.get_parts(shapely.simplify(shapely.union_all(parts), 0)):
                if shape.bounds[3] >= bottom:
                    waiting[value].append(shape)
                else:
                    finished.append((value, shape))
        if finished:
            yield [value for value, _ in finished], np.array([shape for _, shape in finished])
    for value, shapes in sorted(waiting.items()):
        yield [value] * len(shapes), np.array(shapes)


def _mended(values: list[int], outlines: np.ndarray, crumb: float) -> tuple[list[int], np.ndarray]:
    """What crosses itself, as rings that touch do when their coordinates are rounded, in valid parts.

    Parts of less than ``crumb`` are left out.
    """
    crossing = ~shapely.is_valid(outlines)
    if not crossing.any():
        return values, outlines
    valid = shapely.make_valid(outlines[crossing], method='structure', keep_collapsed=False)
    parts, index = shapely.get_parts(valid, return_index=True)
    kept = shapely.area(parts) >= crumb
    of = np.array(values)
    of = np.concatenate([of[~crossing], of[crossing][index[kept]]])
    return of.tolist(), np.concatenate([outlines[~crossing], parts[kept]])


def _batches(regions: Iterator[Region]) -> Iterator[list[Region]]:
    batch: list[Region] = []
    for region in regions:
        batch.append(region)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _write_geopackage(
    path: Path, regions: Iterator[Region], classes: Sequence[str], crs: CRS | None, area: str, when: str
) -> None:
    with _dated(when):
        for index, batch in enumerate(_batches(regions)):
            if not batch and index:
                return
            write(
                path,
                np.array([shapely.to_wkb(region.shape) for region in batch], dtype=object),
                [
                    np.array([region.value for region in batch], dtype=np.int32),
                    np.array([classes[region.value] for region in batch], dtype=object),
                    np.array([region.area for region in batch], dtype=np.float64),
                ],
                ['value', 'class', area],
                geometry_type='Polygon',
                crs=crs.to_wkt() if crs else None,
                driver='GPKG',
                version='1.2',  # GDAL before 3.7, as of QGIS in Debian, warns of 1.4
                layer='classes',
                append=index > 0,
            )


def _write_geojson(
    path: Path, regions: Iterator[Region], classes: Sequence[str], crs: CRS | None, area: str, when: str
) -> None:
    transformer = pyproj.Transformer.from_crs(crs.to_wkt(), 'OGC:CRS84', always_xy=True) if crs else None

    def move(xy: np.ndarray) -> np.ndarray:
        return xy if transformer is None else np.stack(transformer.transform(*xy.T), axis=1).round(8)

    with path.open('w', encoding='utf-8') as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for index, region in enumerate(regions):
            shape = shapely.orient_polygons(shapely.transform(region.shape, move))
            feature = dict(
                type='Feature',
                properties={
                    'value': region.value,
                    'class': classes[region.value],
                    area: round(region.area, 2),
                },
                geometry=shapely.geometry.mapping(shape),
            )
            file.write((',\n' if index else '\n') + json.dumps(feature))
        file.write('\n]}\n')


@contextmanager
def _dated(when: str) -> Iterator[None]:
    """What GDAL takes for the time: the same map gives the same file."""
    set_gdal_config_options({'OGR_CURRENT_DATE': when})
    try:
        yield
    finally:
        set_gdal_config_options({'OGR_CURRENT_DATE': None})
