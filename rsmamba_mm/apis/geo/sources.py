"""What is to be mapped: a raster, a mosaic of tiles, or the assets of a STAC item."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from ...errors import MissingDataError, OptionError
from .mosaic import mosaic, stack
from .pixels import moved

SUFFIXES = ('.tif', '.tiff', '.jp2', '.vrt', '.img', '.png', '.jpg', '.jpeg', '.bil', '.nc')
CACHE = 128  # MB of decoded blocks that GDAL keeps


@dataclass(frozen=True)
class Source:
    """A raster to read from, whole or cropped.

    Attributes:
        name (str): For messages.
        path (str): What rasterio opens.
        files (tuple[str, ...]): The files that it is of.
        count (int): Number of bands.
        dtype (str): Of the bands.
        colours (tuple[str, ...]): Interpretation of each band, as ``'red'`` or ``'alpha'``.
        nodata (float, optional): Value without data.
        crs (CRS, optional): Coordinate reference system.
        transform (Affine): From pixels to coordinates.
        height, width (int): In pixels.
        top, left (int): Where a cropped one begins in the file.
        datetime (str, optional): When it was taken, if the file says so.
    """

    name: str
    path: str
    files: tuple[str, ...]
    count: int
    dtype: str
    colours: tuple[str, ...]
    nodata: float | None
    crs: CRS | None
    transform: Affine
    height: int
    width: int
    top: int = 0
    left: int = 0
    datetime: str | None = None
    _memory: MemoryFile | None = field(default=None, repr=False, compare=False)

    def cropped(self, top: int, left: int, height: int, width: int) -> Source:
        """A part of it, in pixels; the coordinates follow."""
        transform = moved(self.transform, left, top)
        place = dict(top=self.top + top, left=self.left + left)
        return replace(self, transform=transform, height=height, width=width, **place)

    @property
    def georeferenced(self) -> bool:
        return self.crs is not None

    def describe(self) -> dict:
        """What tells it apart from another one, or from itself at another time."""
        stamps = []
        for file in self.files:
            path = Path(file)
            stat = path.stat() if path.is_file() else None
            stamps.append([file, stat.st_size, stat.st_mtime_ns] if stat else [file])
        return dict(files=stamps, place=[self.top, self.left, self.height, self.width])

    @contextmanager
    def reader(self, bands: Sequence[int]) -> Iterator[Reader]:
        """Open it, for one thread."""
        with rasterio.Env(GDAL_CACHEMAX=CACHE), rasterio.open(self.path) as raster:
            yield Reader(self, raster, list(bands))


@dataclass
class Reader:
    """An open source."""

    source: Source
    raster: rasterio.DatasetReader
    bands: list[int]

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ma.MaskedArray:
        """Pixels ``(bands, H, W)``, from and to; what has no data is masked, and what is not finite.

        Raises:
            MissingDataError: If the file cannot be read there.
        """
        return self._read(rows, columns)

    def read_small(self, side: int = 1024) -> np.ma.MaskedArray:
        """The whole, no side longer than ``side`` pixels, by the nearest pixel or an overview."""
        height, width = self.source.height, self.source.width
        factor = max(1.0, max(height, width) / side)
        shape = [max(1, round(n / factor)) for n in (height, width)]
        return self._read((0, height), (0, width), out_shape=(len(self.bands), *shape))

    def _read(self, rows: tuple[int, int], columns: tuple[int, int], **options) -> np.ma.MaskedArray:
        source = self.source
        window = (
            (rows[0] + source.top, rows[1] + source.top),
            (columns[0] + source.left, columns[1] + source.left),
        )
        try:
            data = self.raster.read(self.bands, window=window, masked=True, **options)
        except RasterioError as error:
            raise MissingDataError(
                f'{source.name} cannot be read at rows {window[0][0]}-{window[0][1]} '
                f'({_reason(error)}): fetch the file again'
            ) from error
        mask = np.ma.getmaskarray(data)
        if source.nodata is not None and self.raster.nodata != source.nodata:  # given by the user
            mask = mask | (data.data == source.nodata)
        if data.dtype.kind == 'f':
            mask = mask | ~np.isfinite(data.data)
        if source.dtype == 'uint8':
            # black or white in one band alone is a colour
            mask = np.broadcast_to(mask.all(axis=0), mask.shape)
        return np.ma.MaskedArray(data.data, mask)


def open_source(
    src: str | Path | Sequence[str | Path],
    nodata: float | None = None,
    assets: Sequence[str] | None = None,
) -> Source:
    """Describe what is to be read; nothing of size is read.

    Args:
        src (str | Path | Sequence): Anything that rasterio opens, a folder of tiles or a list of them (also
            a ``.txt`` with one in a line), or a STAC item (``.json``).
        nodata (float, optional): Value without data where the file does not say so. Defaults to None.
        assets (Sequence[str], optional): Keys of a STAC item's assets: one with all bands, or several that
            are stacked in this order. Defaults to None, the one raster that there is.

    Raises:
        MissingDataError: If there is nothing there, or it cannot be read.
        OptionError: If tiles or assets do not fit together, or options do not fit the source.
    """
    with quiet():
        if not isinstance(src, str | Path):
            files = [str(file) for file in src]
            return _described(files[0], files, nodata) if len(files) == 1 else _tiles(files, nodata)
        path = Path(src)
        if path.is_dir():
            files = sorted(str(file) for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not files:
                raise MissingDataError(f'no rasters in {path}: looked for {" ".join(SUFFIXES)}')
            return _tiles(files, nodata)
        if path.suffix.lower() == '.txt' and path.is_file():
            lines = [line.strip() for line in path.read_text(encoding='utf-8').splitlines()]
            files = [str(path.parent / line) for line in lines if line]
            if not files:
                raise MissingDataError(f'{path} names no rasters: one path in a line is expected')
            return _tiles(files, nodata)
        if path.suffix.lower() in ('.json', '.geojson') and path.is_file():
            return _stac_item(path, nodata, assets)
        if assets:
            raise OptionError(f'assets are of STAC items, and {src} is none')
        return _described(str(src), [str(src)], nodata)


@contextmanager
def quiet() -> Iterator[None]:
    """A bounded cache of GDAL's, and no warnings of what has no coordinates; for the main thread."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE):
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        warnings.filterwarnings('ignore', "'crs' was not provided", UserWarning)
        yield


def _described(
    path: str,
    files: Sequence[str],
    nodata: float | None,
    name: str | None = None,
    memory: MemoryFile | None = None,
    datetime: str | None = None,
) -> Source:
    name = name or path
    try:
        with rasterio.open(path) as raster:
            if raster.count == 0:
                raise OptionError(f'{name} holds several rasters: name one, {_subdatasets(raster)}')
            if len(set(raster.dtypes)) > 1:
                raise OptionError(f'{name} has bands of several types: {", ".join(raster.dtypes)}')
            if np.dtype(raster.dtypes[0]).kind == 'c':
                raise OptionError(f'{name} has complex numbers: take their magnitude first')
            if raster.gcps[0] and raster.crs is None and raster.transform.is_identity:
                raise OptionError(
                    f'{name} lies by ground control points alone: warp it first (rio warp, gdalwarp)'
                )
            for file in files:
                _check_blocks(raster if file == path else None, file)
            source = Source(
                name=name,
                path=path,
                files=tuple(files),
                count=raster.count,
                dtype=raster.dtypes[0],
                colours=tuple(colour.name for colour in raster.colorinterp),
                nodata=raster.nodata if nodata is None else nodata,
                crs=raster.crs,
                transform=raster.transform,
                height=raster.height,
                width=raster.width,
                datetime=datetime or raster.tags().get('TIFFTAG_DATETIME'),
                _memory=memory,
            )
    except RasterioError as error:
        if '://' not in path and not path.startswith('/vsi') and not Path(path).exists():
            raise MissingDataError(f'no such raster: {path} (from {Path.cwd()})') from error
        raise MissingDataError(f'{name} cannot be read as a raster ({_reason(error)})') from error
    return source


def _check_blocks(raster: rasterio.DatasetReader | None, path: str) -> None:
    """Refuse a GeoTIFF that is shorter than its blocks say, before anything is computed.

    Raises:
        MissingDataError: If a block lies beyond the end.
    """
    if not Path(path).is_file():
        return
    if raster is None:
        with rasterio.open(path) as opened:
            return _check_blocks(opened, path)
    if raster.driver not in ('GTiff', 'COG'):
        return
    size = Path(path).stat().st_size
    height, width = raster.block_shapes[0]
    rows, columns = -(-raster.height // height), -(-raster.width // width)
    bands = range(1, raster.count + 1) if raster.interleaving is None else (1, raster.count)
    step = max(1, rows * columns // 20_000)  # a sample of very many
    last = rows * columns - 1
    for band in bands:
        for block in {*range(0, last, step), last}:
            place = f'{block % columns}_{block // columns}'
            offset, length = (
                int(raster.get_tag_item(f'BLOCK_{key}_{place}', 'TIFF', bidx=band) or 0)
                for key in ('OFFSET', 'SIZE')
            )
            if offset + length > size:
                raise MissingDataError(
                    f'{path} is truncated: it has {size} bytes, and a block of it ends at '
                    f'{offset + length}. Fetch it again'
                )


def _tiles(files: Sequence[str], nodata: float | None) -> Source:
    memory = MemoryFile(mosaic(files, nodata).to_xml().encode(), ext='.vrt')
    name = f'{len(files)} tiles ({Path(files[0]).name} …)'
    return _described(memory.name, files, nodata, name, memory)


def _stac_item(path: Path, nodata: float | None, assets: Sequence[str] | None) -> Source:
    from .stac import raster_assets

    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise MissingDataError(f'{path} is no JSON ({error})') from None
    if 'stac_version' not in document:
        raise OptionError(f'{path} is no STAC item, and no raster: it has no stac_version')
    files, datetime = raster_assets(path, assets)
    if len(files) == 1:
        return _described(files[0], files, nodata, datetime=datetime)
    memory = MemoryFile(stack(files).to_xml().encode(), ext='.vrt')
    return _described(memory.name, files, nodata, f'{path} ({", ".join(assets or ())})', memory, datetime)


def _subdatasets(raster: rasterio.DatasetReader) -> str:
    names = raster.subdatasets
    return f'such as {names[0]}' if names else 'none of which GDAL finds'


def _reason(error: Exception) -> str:
    """The deepest reason that GDAL gives."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return str(error)
