"""A map from beginning to end: checks, strips, and the files of the result."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rasterio.transform import Affine

from ...errors import OptionError, OutputError
from ...version import __version__
from ..predictors import LandCoverSegmenter, SceneClassifier
from .aoi import Area, read_area
from .grid import Strip
from .inputs import Scaling, choose_bands, choose_scaling
from .journal import Journal
from .options import RasterOptions
from .processes import Processes
from .products import Product
from .sources import Source, open_source, quiet
from .threads import WriteBehind

Strips = Generator[tuple[Strip, dict[str, np.ndarray]], None, None]
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Progress:
    """How far a process is with its part of a map.

    Attributes:
        done, total (int): Strips.
        seconds (float): Since the first one began.
        left (float): Seconds to go, as it looks.
    """

    done: int
    total: int
    seconds: float
    left: float


@dataclass
class RasterResult:
    """What was written.

    Attributes:
        map (Path): The map, a cloud-optimised GeoTIFF.
        files (dict[str, Path]): All files: ``'map'`` and, as asked for, ``'confidence'``,
            ``'probabilities'``, ``'polygons'``, ``'areas'``, ``'stac'``, ``'style'``, ``'polygon_style'``.
        classes (list[str]): Names of the values 0, 1, …
        areas (dict[str, float], optional): Of the classes in m²; None without a coordinate reference
            system, or where no table was asked for.
    """

    map: Path
    files: dict[str, Path]
    classes: list[str]
    areas: dict[str, float] | None = None


@dataclass
class Run:
    """What is known of a map before it is computed.

    Attributes:
        model (LandCoverSegmenter | SceneClassifier): What computes it.
        options (RasterOptions): As given.
        source (Source): What is mapped, cropped to the area of interest.
        bands (list[int]): Which of its bands.
        scaling (Scaling): Of its values.
        area (Area, optional): The area of interest.
        dst (Path): The map.
        notes (list[str]): What the user should know.
        shape (tuple[int, int]): Of the map.
        transform (Affine): Of the map.
        strips (list[Strip]): Of which the map is; set by the caller.
    """

    model: LandCoverSegmenter | SceneClassifier
    options: RasterOptions
    source: Source
    bands: list[int]
    scaling: Scaling
    area: Area | None
    dst: Path
    notes: list[str]
    shape: tuple[int, int]
    transform: Affine
    strips: list[Strip] = field(default_factory=list)

    @property
    def products(self) -> list[Product]:
        """The rasters of the result, the map first."""
        classes = tuple(self.model.classes)
        palette = tuple(tuple(colour) for colour in self.model.palette)
        products = [Product('labels', 'uint8', ('class',), classes, palette)]
        if self.options.confidence:
            products.append(Product('confidence', self.options.confidence, ('probability of the class',)))
        if self.options.probabilities:
            products.append(Product('probabilities', self.options.probabilities, classes))
        return products

    def report(self, tell: Callable[[str], None] | None) -> None:
        """Tell the notes, if anybody listens."""
        if tell is not None:
            for note in self.notes:
                tell(note)

    def describe(self, **more) -> dict:
        """What the pixels depend on."""
        aoi = self.options.aoi
        options = {
            name: getattr(self.options, name)
            for name in ('batch_size', 'tta', 'probabilities', 'confidence')
        }
        return dict(
            version=__version__,
            source=self.source.describe(),
            model=_digest(self.model),
            device=self.model.device.type,
            # sums on a CPU are rounded otherwise with another number
            threads=torch.get_num_threads() if self.model.device.type == 'cpu' else None,
            half=self.model.half,
            bands=self.bands,
            nodata=self.source.nodata,
            scaling=[self.scaling.kept, list(self.scaling.gain), list(self.scaling.offset)],
            area=hashlib.sha256(Path(aoi).read_bytes()).hexdigest() if aoi else None,
            **options,
            **more,
        )


def prepare(
    src: str | Path | Sequence[str | Path],
    dst: str | Path,
    model: LandCoverSegmenter | SceneClassifier,
    options: RasterOptions,
) -> Run:
    """Check all that can be checked before anything is computed.

    Raises:
        OptionError: If an option does not fit the raster, the model or the machine.
        MissingDataError: If the raster or the area cannot be read.
        OutputError: If the map cannot be written.
    """
    dst = Path(dst)
    if dst.suffix.lower() not in ('.tif', '.tiff'):
        raise OptionError(f'the map is a GeoTIFF: a name that ends in .tif, got {dst}')
    if dst.is_dir():
        raise OptionError(f'{dst} is a folder: name a file for the map')
    source = open_source(src, options.nodata, options.assets)
    if str(dst.resolve()) in {str(Path(file).resolve()) for file in source.files}:
        raise OptionError(f'{dst} is the raster itself: name another file for the map')
    if dst.exists() and not options.overwrite:
        raise OptionError(f'{dst} is there already: name another file, or replace it by --overwrite')
    if len(model.classes) > 255:
        raise OptionError(
            f'a map of 8 bits has room for 255 classes, and the model has {len(model.classes)}'
        )
    area = None
    if options.aoi is not None:
        area = read_area(options.aoi, source)
        source = source.cropped(*area.bounds(source))
    takes = model.takes()
    bands = choose_bands(source, takes, options.bands)
    scaling, note = choose_scaling(source, bands, takes, options.scale)
    _check_folder(dst)
    if options.stac and not source.georeferenced:
        raise OptionError(
            f'stac: {source.name} has no coordinate reference system, so there is no place to give'
        )
    notes = [f'bands: {", ".join(map(str, bands))}', note]
    if not source.georeferenced:
        notes.append(f'{source.name} has no coordinate reference system, and so will the map')
    place = (source.height, source.width), source.transform
    return Run(model, options, source, bands, scaling, area, dst, notes, *place)


def carry_out(
    run: Run,
    compute: Callable[[Sequence[Strip]], Strips],
    finish: Callable[[Run, Journal], RasterResult],
    settings: dict,
    progress: Callable[[Progress], None] | None = None,
) -> RasterResult | None:
    """Compute the strips that are not there yet, and let one process finish the map.

    Args:
        run (Run): What to do.
        compute (Callable): Gives the products of each of the strips it is called with, in their order.
        finish (Callable): Writes the files of the result from the journal.
        settings (dict): What the pixels depend on beside ``run``.
        progress (Callable, optional): Called after every strip. Defaults to None.

    Returns:
        RasterResult | None: None in all processes of torchrun but the first.

    Raises:
        MissingDataError: If the raster turns out to be broken.
        OutputError: If something cannot be written. What is finished is kept, and the same call goes on.
    """
    processes = Processes()
    journal = Journal(run.dst, run.describe(**settings))
    try:
        if processes.first:
            journal.open(run.options.restart)
        left = processes.agree(
            [strip for strip in run.strips if processes.first and not journal.done(strip)]
        )
        mine = processes.share(left)
        began = time.monotonic()
        with quiet(), WriteBehind() as write, closing(compute(mine)) as strips:
            for count, (strip, arrays) in enumerate(strips, 1):
                write(journal.write, strip, arrays)
                if progress is not None:
                    seconds = time.monotonic() - began
                    to_go = seconds / count * (len(mine) - count)
                    progress(Progress(count, len(mine), seconds, to_go))
        processes.wait()
        result = None
        if processes.first:
            with quiet():
                result = finish(run, journal)
            journal.remove()
        processes.wait()
        return result
    except OSError as error:
        if error.errno in FULL:
            raise OutputError(
                f'the disk of {run.dst.parent.resolve()} is full ({error.strerror}). What is finished is '
                f'kept in {journal.folder.name}: make room and repeat the same call'
            ) from error
        raise
    finally:
        journal.close()
        processes.close()


def install(run: Run, journal: Journal, made: dict[str, Path]) -> dict[str, Path]:
    """Move finished files into place, with those that GDAL keeps beside a raster; the map comes last."""
    placed = {}
    for key, path in sorted(made.items(), key=lambda item: item[0] == 'map'):
        target = placed[key] = target_of(run.dst, key, path.suffix)
        for file, place in (
            (path.with_name(f'{path.name}.aux.xml'), f'{target.name}.aux.xml'),
            (path, target.name),
        ):
            if file.exists():
                os.replace(file, target.with_name(place))
    return placed


def target_of(dst: Path, key: str, suffix: str) -> Path:
    """Where a file of the result goes; QGIS finds a style by the name of what it is for."""
    tail = dict(style='', stac='', polygon_style='_polygons').get(key, f'_{key}')
    return dst if key == 'map' else dst.with_name(f'{dst.stem}{tail}{suffix}')


def _check_folder(dst: Path) -> None:
    folder = dst.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f'{folder} cannot be made ({error.strerror}): name another folder') from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f'{folder} cannot be written: name another folder, or change its permissions')


def _digest(model: LandCoverSegmenter | SceneClassifier) -> str:
    """Of the weights, the classes and what the config does with images."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    cfg = model._cfg
    pipeline = cfg.test_dataloader.dataset.pipeline
    for part in (cfg.model, cfg.get('data_preprocessor'), pipeline, model.classes, model.palette):
        digest.update(repr(part).encode())
    return digest.hexdigest()
