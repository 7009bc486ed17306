"""STAC items: what they hold, and one of a result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyproj
import pystac
import shapely
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio.crs import CRS
from rasterio.transform import Affine

from ...errors import MissingDataError, OptionError
from .pixels import placed

RASTERS = ('image/tiff', 'image/jp2', 'image/vnd.stac.geotiff', 'application/x-geotiff')
SUFFIXES = ('.tif', '.tiff', '.jp2', '.vrt')
TYPES = {
    '.gpkg': 'application/geopackage+sqlite3',
    '.geojson': pystac.MediaType.GEOJSON,
    '.csv': 'text/csv',
    '.qml': 'application/xml',
}


def raster_assets(path: Path, keys: Sequence[str] | None = None) -> tuple[list[str], str | None]:
    """Files of an item's rasters, and when it was taken.

    Args:
        path (Path): The item.
        keys (Sequence[str], optional): Of the assets. Defaults to None, the one raster, or the one with the
            role ``data`` or the key ``visual`` among several.

    Raises:
        MissingDataError: If the item cannot be read, or has no raster.
        OptionError: If there is no such asset, or there are several and none is named.
    """
    try:
        item = pystac.Item.from_file(str(path))
    except Exception as error:  # pystac lets many kinds through
        raise MissingDataError(f'{path} cannot be read as a STAC item ({error})') from error
    rasters = {
        key: asset
        for key, asset in item.assets.items()
        if (asset.media_type or '').startswith(RASTERS) or asset.href.lower().endswith(SUFFIXES)
    }
    if not rasters:
        raise MissingDataError(
            f'{path} has no asset that is a raster; it has {", ".join(item.assets) or "none"}'
        )
    if keys:
        wrong = [key for key in keys if key not in rasters]
        if wrong:
            raise OptionError(f'{path} has no raster {", ".join(wrong)}; it has {", ".join(rasters)}')
    else:
        keys = list(rasters)
        for narrower in (
            [key for key in keys if 'data' in (rasters[key].roles or ())],
            [key for key in keys if key == 'visual'],
        ):
            if len(keys) > 1 and len(narrower) == 1:
                keys = narrower
        if len(keys) > 1:
            raise OptionError(
                f'{path} has several rasters: name one, or several to stack, by --assets {" ".join(keys)}'
            )
    taken = item.datetime.isoformat() if item.datetime else None
    return [(rasters[key].get_absolute_href() or '').removeprefix('file://') for key in keys], taken


def write_item(
    path: Path,
    files: dict[str, Path],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    crs: CRS,
    transform: Affine,
    shape: tuple[int, int],
    taken: datetime,
    properties: dict,
) -> Path:
    """Write an item of a result.

    Args:
        path (Path): Where to.
        files (dict[str, Path]): Its files, where they will be.
        classes, palette: Of the map.
        crs, transform, shape: Of the map.
        taken (datetime): When its image was taken.
        properties (dict): More to say.
    """
    outline = _footprint(crs, transform, shape)
    item = pystac.Item(
        id=files['map'].stem,
        geometry=shapely.geometry.mapping(outline),
        bbox=list(outline.bounds),
        datetime=taken,
        properties=properties,
    )
    for key, file in sorted(files.items()):
        media = TYPES.get(file.suffix, pystac.MediaType.COG)
        role = 'metadata' if key in ('style', 'polygon_style', 'areas') else 'data'
        item.add_asset(key, pystac.Asset(f'./{file.name}', media_type=media, roles=[role]))
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    code = crs.to_epsg()
    projection.apply(
        epsg=code, wkt2=None if code else crs.to_wkt(), shape=list(shape), transform=list(transform)[:6]
    )
    ClassificationExtension.ext(item.assets['map'], add_if_missing=True).apply(
        classes=[
            Classification.create(
                value=value,
                name=re.sub('[^0-9A-Za-z_-]+', '_', name),  # all that the extension allows there
                title=name,
                color_hint='{:02X}{:02X}{:02X}'.format(*colour),
            )
            for value, (name, colour) in enumerate(zip(classes, palette, strict=True))
        ]
    )
    item.set_self_href(str(path))
    item.save_object(include_self_link=False, dest_href=str(path))
    return path


def when(said: str | None, files: Sequence[str]) -> datetime:
    """When an image was taken: as it says, else when its latest file was written."""
    for form in ('%Y:%m:%d %H:%M:%S', None):
        try:
            taken = datetime.strptime(said or '', form) if form else datetime.fromisoformat(said or '')
            return taken if taken.tzinfo else taken.replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    stamps = [Path(file).stat().st_mtime for file in files if Path(file).is_file()]
    return datetime.fromtimestamp(int(max(stamps, default=0)), tz=timezone.utc)


def _footprint(crs: CRS, transform: Affine, shape: tuple[int, int]) -> shapely.Polygon:
    """Outline in longitude and latitude."""
    height, width = shape
    frame = shapely.segmentize(shapely.box(0, 0, width, height), max(height, width) / 8)
    move = pyproj.Transformer.from_crs(crs.to_wkt(), 'OGC:CRS84', always_xy=True)
    outline = shapely.transform(
        frame, lambda xy: np.stack(move.transform(*placed(transform, xy).T), axis=1).round(7)
    )
    return shapely.orient_polygons(outline)
