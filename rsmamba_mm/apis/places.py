"""Where on Earth an image was taken."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from itertools import pairwise

from mmengine import fileio
from PIL import ExifTags, Image

RASTERS = ('.tif', '.tiff')


def locate(path: str) -> dict | None:
    """The place of an image in WGS 84, as a geometry of GeoJSON (RFC 7946).

    Args:
        path (str): The image, a file or ``zip://ARCHIVE!/NAME``.

    Returns:
        dict | None: The outline of a georeferenced raster, which needs rasterio; the point where a camera
        with GPS stood; None if the image says nothing of it.
    """
    # the package of data sets needs mmcv, which other parts of this interface do not
    from ..datasets.zips import gdal_path

    return _outline(gdal_path(path)) if path.lower().endswith(RASTERS) else _camera(path)


def _outline(path: str) -> dict | None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.warp import transform_geom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(path) as raster:
                if raster.crs is None or raster.transform.is_identity:
                    return None
                width, height = raster.width, raster.height
                corners = [(0, 0), (height, 0), (height, width), (0, width), (0, 0)]
                ring = [raster.xy(*corner, offset='ul') for corner in corners]
                outline = dict(type='Polygon', coordinates=[ring])
                found = transform_geom(raster.crs, 'EPSG:4326', outline, antimeridian_cutting=True)
    except (RasterioError, ValueError):
        return None
    single = found['type'] == 'Polygon'
    parts = [found['coordinates']] if single else found['coordinates']
    parts = [[_anticlockwise(ring)] for ring, *_ in parts]
    if not all(math.isfinite(number) for ((*ring,),) in parts for point in ring for number in point):
        return None
    return dict(type=found['type'], coordinates=parts[0] if single else parts)


def _anticlockwise(ring: Sequence[Sequence[float]]) -> list[list[float]]:
    """A ring as GeoJSON wants it, to a centimetre."""
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    points = ring if area > 0 else ring[::-1]
    return [[round(x, 7), round(y, 7)] for x, y in points]


def _camera(path: str) -> dict | None:
    try:
        with Image.open(io.BytesIO(fileio.get(path))) as image:
            tags = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        gps = ExifTags.GPS
        latitude = _degrees(tags[gps.GPSLatitude], tags[gps.GPSLatitudeRef])
        longitude = _degrees(tags[gps.GPSLongitude], tags[gps.GPSLongitudeRef])
    except Exception:  # no EXIF, or none that can be read: the image itself may be whole
        return None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # also of no numbers
        return None
    return dict(type='Point', coordinates=[round(longitude, 7), round(latitude, 7)])


def _degrees(parts: Sequence[float], side: str) -> float:
    degrees, minutes, seconds = map(float, parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if side in ('S', 'W') else value
