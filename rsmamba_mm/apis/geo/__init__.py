"""Rasters with coordinates in, maps with coordinates out. Import needs the extra ``geo``."""

from ...errors import MissingExtraError

try:
    import pyogrio  # noqa: F401
    import pyproj  # noqa: F401
    import pystac  # noqa: F401
    import rasterio  # noqa: F401
    import rio_cogeo  # noqa: F401
    import shapely  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f'maps of rasters need {error.name or error}, which is not installed: pip install "rsmamba_mm[geo]"'
    ) from error
