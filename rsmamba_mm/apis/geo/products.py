"""The rasters of a result: their bands, and how they become cloud-optimised GeoTIFFs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rio_cogeo import cog_validate

from ...errors import OutputError
from .grid import Strip
from .sources import CACHE
from .vrt import Band, Piece, VirtualRaster

NODATA = 255
STEPS = 254  # a probability of 1 in 8 bits


def quantised(probabilities: np.ndarray, dtype: str) -> np.ndarray:
    """Probabilities in ``'uint8'``, 1 being 254, or ``'float32'``."""
    if dtype == 'float32':
        return probabilities.astype(np.float32)
    return np.rint(probabilities * STEPS).astype(np.uint8)


def missing(dtype: str) -> tuple[float, str]:
    """What stands for no data, and its type: to fill an array with."""
    return (NODATA if dtype == 'uint8' else float('nan')), dtype


@dataclass(frozen=True)
class Product:
    """A raster of the result.

    Attributes:
        name (str): That of its strips.
        dtype (str): ``'uint8'`` or ``'float32'``.
        bands (tuple[str, ...]): Descriptions of the bands.
        classes (tuple[str, ...]): Names of the values, where these are classes. Defaults to none.
        palette (tuple[tuple[int, ...], ...]): Their colours. Defaults to none.
    """

    name: str
    dtype: str
    bands: tuple[str, ...]
    classes: tuple[str, ...] = ()
    palette: tuple[tuple[int, ...], ...] = ()

    @property
    def nodata(self) -> float:
        return missing(self.dtype)[0]

    def virtual(
        self,
        shape: tuple[int, int],
        strips: Sequence[Strip],
        path: Callable[[Strip, str], Path],
        crs: CRS | None,
        transform: Affine,
    ) -> VirtualRaster:
        """Its strips put together."""
        places = [
            (str(path(strip, self.name).resolve()), strip.left, strip.top, *strip.shape[::-1])
            for strip in strips
        ]
        scaled = self.dtype == 'uint8' and not self.classes
        bands = [
            Band(
                self.dtype,
                [Piece(file, number, *place) for file, *place in places],
                self.nodata,
                description=description,
                categories=self.classes,
                palette=self.palette,
                scale=1 / STEPS if scaled else None,
            )
            for number, description in enumerate(self.bands, 1)
        ]
        has_place = crs is not None or not transform.is_identity
        return VirtualRaster(*shape, bands, crs.to_wkt() if crs else None, transform if has_place else None)

    def write(self, virtual: VirtualRaster, path: Path) -> Path:
        """Write it as a cloud-optimised GeoTIFF.

        Raises:
            OutputError: If it cannot be written.
        """
        options = dict(driver='COG', compress='DEFLATE', blocksize=512, bigtiff='IF_SAFER', num_threads=1)
        options['overview_resampling'] = 'MODE' if self.classes else 'AVERAGE'
        options['predictor'] = 'NO' if self.classes else 'YES'
        path.unlink(missing_ok=True)
        try:
            with (
                rasterio.Env(GDAL_CACHEMAX=CACHE),
                MemoryFile(virtual.to_xml().encode(), ext='.vrt') as memory,
            ):
                rasterio.shutil.copy(memory.name, path, **options)
        except RasterioError as error:
            raise OutputError(f'{path.name} cannot be written ({error.__cause__ or error})') from error
        self._check(virtual, path)
        return path

    def _check(self, virtual: VirtualRaster, path: Path) -> None:
        """Read all back: GDAL does not tell of everything that went wrong when a file is closed."""
        try:
            with (
                rasterio.Env(GDAL_CACHEMAX=CACHE),
                MemoryFile(virtual.to_xml().encode(), ext='.vrt') as memory,
                memory.open() as strips,
                rasterio.open(path) as written,
            ):
                same = all(strips.checksum(b) == written.checksum(b) for b in strips.indexes)
            faults = (
                cog_validate(path, quiet=True)[1] if same else ['it has other values than were written']
            )
        except RasterioError as error:
            faults = [str(error.__cause__ or error)]
        if faults:
            raise OutputError(f'{path.name} was not written right ({"; ".join(faults)}): is the disk full?')
