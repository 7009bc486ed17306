"""Tiles side by side and bands from several files, as virtual rasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from ...errors import MissingDataError, OptionError
from .pixels import moved, placed
from .vrt import Band, Piece, VirtualRaster

ALIGNED = 0.01  # of a pixel: what coordinates are rounded by


@dataclass
class _Tile:
    path: str
    crs: CRS | None
    transform: Affine
    height: int
    width: int
    dtypes: tuple[str, ...]
    nodata: float | None
    colours: tuple[str, ...]
    datetime: str | None


def mosaic(files: Sequence[str], nodata: float | None = None) -> VirtualRaster:
    """Tiles where their coordinates put them; a later one lies on an earlier one where it has data.

    Args:
        files (Sequence[str]): Of one coordinate reference system, pixel size, rotation and type.
        nodata (float, optional): Value without data, where the files do not say so. Defaults to None.

    Raises:
        MissingDataError: If a tile cannot be read.
        OptionError: If tiles do not fit together; the message names two.
    """
    tiles = [_tile(file) for file in files]
    first = tiles[0]
    for tile in tiles:
        if tile.crs is None and tile.transform.is_identity:
            raise OptionError(f'{tile.path} has no coordinates, so there is no place for it in a mosaic')
        _same('coordinate reference systems', first, tile, first.crs, tile.crs)
        _same('bands', first, tile, first.dtypes, tile.dtypes)
        ours, theirs = (list(t.transform)[:2] + list(t.transform)[3:5] for t in (first, tile))
        size = max(map(abs, ours))
        if any(
            abs(a - b) * max(tile.height, tile.width) > size / 10 for a, b in zip(ours, theirs, strict=True)
        ):
            raise OptionError(
                f'{first.path} and {tile.path} have pixels of other sizes or directions: '
                f'{first.transform.to_gdal()} and {tile.transform.to_gdal()}. Warp them to one grid first'
            )
    corners = np.array([[tile.transform.c, tile.transform.f] for tile in tiles])
    places = _snapped(placed(~first.transform, corners))
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    places = [(x - left, y - top) for x, y in places]
    width, height = (
        max(round(place[axis] + side(tile)) for place, tile in zip(places, tiles, strict=True))
        for axis, side in ((0, lambda t: t.width), (1, lambda t: t.height))
    )

    def pieces(band: int | str) -> list[Piece]:
        return [
            Piece(t.path, band, *place, t.width, t.height) for t, place in zip(tiles, places, strict=True)
        ]

    missing = first.nodata if nodata is None else nodata
    bands = [
        Band(dtype, pieces(number), missing, colour, transparent=missing)
        for number, (dtype, colour) in enumerate(zip(first.dtypes, first.colours, strict=True), 1)
    ]
    return VirtualRaster(
        height,
        width,
        bands,
        first.crs.to_wkt() if first.crs else None,
        moved(first.transform, left, top),
        # where no tile lies there is no data
        Band('uint8', pieces('mask,1'), transparent=0),
        {'TIFFTAG_DATETIME': first.datetime} if first.datetime else {},
    )


def stack(files: Sequence[str]) -> VirtualRaster:
    """The bands of files on one grid, one after the other.

    Raises:
        MissingDataError: If a file cannot be read.
        OptionError: If they are not on one grid, or not of one type.
    """
    tiles = [_tile(file) for file in files]
    first = tiles[0]
    for tile in tiles:
        _same('coordinate reference systems', first, tile, first.crs, tile.crs)
        _same('sizes', first, tile, (first.height, first.width), (tile.height, tile.width))
        _same('coordinates', first, tile, first.transform, tile.transform)
        _same('types', first, tile, first.dtypes[:1], tile.dtypes[:1])
    bands = [
        Band(dtype, [Piece(tile.path, number, 0, 0, tile.width, tile.height)], tile.nodata)
        for tile in tiles
        for number, dtype in enumerate(tile.dtypes, 1)
    ]
    wkt = first.crs.to_wkt() if first.crs else None
    return VirtualRaster(first.height, first.width, bands, wkt, first.transform)


def _tile(path: str) -> _Tile:
    try:
        with rasterio.open(path) as raster:
            return _Tile(
                path if '://' in path or path.startswith('/vsi') else str(Path(path).resolve()),
                raster.crs,
                raster.transform,
                raster.height,
                raster.width,
                raster.dtypes,
                raster.nodata,
                tuple(c.name.capitalize() for c in raster.colorinterp),
                raster.tags().get('TIFFTAG_DATETIME'),
            )
    except RasterioError as error:
        raise MissingDataError(f'{path} cannot be read as a raster ({error})') from error


def _same(what: str, one: _Tile, other: _Tile, ours, theirs) -> None:
    if ours != theirs:
        raise OptionError(f'{one.path} and {other.path} have other {what}: {ours} and {theirs}')


def _snapped(places: np.ndarray) -> list[list[float]]:
    whole = places.round()
    return np.where(abs(places - whole) < ALIGNED, whole, places).tolist()
