"""Images without labels, for pre-training: folders, lists, trees of folders, parts of large rasters."""

from __future__ import annotations

import errno
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..errors import FaultyDataError, MissingDataError, MissingExtraError, OptionError
from .checking import Fault, refuse
from .checking.annotations import read_lines
from .folder import IMAGE_SUFFIXES, find_images_below
from .zips import gdal_path

_REFETCHED = 100  # images that are tried in place of one that cannot be read
# errors of a file itself; others, such as a network's, pass, and the training loop reads again
_LASTING = (None, errno.ENOENT, errno.EACCES, errno.EISDIR)


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """Images of a folder and all folders in it, or of a list, without labels.

    An image that cannot be read is left out when it is met: its place takes another one, drawn at random,
    the log names it, with how many there were so far, and no process reads it again. So a million files
    need no check beforehand; ``tools/check_dataset.py`` makes one.

    Args:
        data_root (str): Folder, at any depth of which the images lie, or one file.
        ann_file (str): List of the images to take, one a line, absolute or relative to ``data_root``.
            Defaults to '', all images.
        tile (int, optional): Side in pixels of the parts that larger images are cut into, each a sample of
            its own, of which nothing else is read; the pipeline then loads by ``LoadGeoImage``. Defaults to
            None, whole images.
        pipeline (Sequence): Transforms, of which the first one loads. Defaults to none.
        test_mode (bool): Whether an image that cannot be read is an error. Defaults to False.
        indices (int | Sequence[int], optional): Take only these. Defaults to None.
        lazy_init (bool): Whether to list the images later. Defaults to False.

    Raises:
        MissingDataError: If the folder, the list, or any image is not there.
        FaultyDataError: If nothing that can be read is found.
        OptionError: If ``tile`` is no positive integer, or the pipeline does not load parts.
        MissingExtraError: If ``tile`` is given and rasterio is not installed.
    """

    METAINFO: dict = {}
    reads_files = False  # CheckDataHook would refuse all for one

    def __init__(
        self,
        data_root: str,
        ann_file: str = '',
        tile: int | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        lazy_init: bool = False,
    ) -> None:
        if tile is not None:
            self._check_tile(tile, pipeline)
        self.tile = tile
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            pipeline=list(pipeline),
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
        )

    def full_init(self) -> None:
        """List the images."""
        if not self._fully_initialized:
            super().full_init()
            # of all processes that load
            self._faulty = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    @property
    def left_out(self) -> int:
        """Samples that could not be read so far."""
        return int(self._faulty.sum())

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            list[dict]: ``img_path`` of each and, of a part, ``window`` (top, left, height, width).
        """
        paths = self._listed() if self.ann_file else self._found()
        if self.tile is None:
            return [{'img_path': str(path)} for path in paths]
        samples = [sample for path in paths for sample in self._parts(path)]
        if not samples:
            raise FaultyDataError(f'UnlabelledImages: none of {len(paths)} images can be read')
        return samples

    def __getitem__(self, idx: int) -> Any:
        """A sample, or another one in its place."""
        if not self._fully_initialized:
            self.full_init()
        for _ in range(_REFETCHED):
            data = self.prepare_data(idx)
            if data is not None:
                return data
            idx = np.random.randint(len(self))
        raise FaultyDataError(
            f'UnlabelledImages: {self.left_out} of {len(self)} samples could not be read so far, and '
            f'{_REFETCHED} in a row: the log names them. If none can, do the files fit the loading '
            'transform?'
        )

    def prepare_data(self, idx: int) -> Any:
        """What the pipeline makes of a sample; None where it cannot be loaded."""
        if self._faulty[idx] and not self.test_mode:
            return None
        sample = self.get_data_info(idx)
        load, *others = self.pipeline.transforms or [dict]
        try:
            loaded = load(dict(sample))
        except MemoryError:
            raise
        except Exception as error:  # libraries raise many kinds on broken files
            if self.test_mode or (isinstance(error, OSError) and error.errno not in _LASTING):
                raise
            self._leave_out(idx, sample['img_path'], error)
            return None
        for transform in others:
            loaded = transform(loaded)
        return loaded

    def _leave_out(self, idx: int, path: str, error: Exception) -> None:
        self._faulty[idx] = True
        _say(f'{path} cannot be read and is left out ({error}); {self.left_out} of {len(self)} so far')

    def _found(self) -> list[Path]:
        """The images of the folder."""
        root = Path(self.data_root)
        if root.is_file():
            return [root]
        if not root.is_dir():
            raise MissingDataError(
                f'UnlabelledImages: {root.resolve()} is not there; expected: a folder with images, in it '
                'or in folders below it. Where it lies elsewhere: --cfg-options data_root=FOLDER'
            )
        paths = find_images_below(root)
        if not paths:
            raise MissingDataError(
                f'UnlabelledImages: no images in {root.resolve()} or below it ({" ".join(IMAGE_SUFFIXES)})'
            )
        return paths

    def _listed(self) -> list[Path]:
        """The images of the list, those that are not there too: they are left out as they are met."""
        listing = Path(self.ann_file)
        if not listing.is_file():
            raise MissingDataError(
                f'UnlabelledImages: list not found: {listing.resolve()}; expected: a text file with the '
                'path of an image a line, absolute or relative to data_root'
            )
        lines, faults = read_lines(listing, bom=True)
        refuse(faults, 'the list of UnlabelledImages')
        paths = [Path(self.data_root, line.strip()) for line in lines if line.strip()]
        if not paths:
            refuse([Fault(str(listing), 'no samples', 'it names no image: write it again')], 'the data')
        return paths

    def _parts(self, path: Path) -> Iterator[dict]:
        """The parts of an image, those at its ends shifted into it."""
        import rasterio

        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
                with rasterio.open(gdal_path(str(path))) as raster:
                    sides = raster.height, raster.width
        except rasterio.errors.RasterioError as error:
            _say(f'{path} cannot be read and is left out ({error})')
            return
        spans = [min(side, self.tile) for side in sides]
        tops, lefts = (
            [min(start, side - span) for start in range(0, side, span)]
            for side, span in zip(sides, spans, strict=True)
        )
        for top in tops:
            for left in lefts:
                yield {'img_path': str(path), 'window': (top, left, *spans)}

    @staticmethod
    def _check_tile(tile: int, pipeline: Sequence) -> None:
        if not isinstance(tile, int) or isinstance(tile, bool) or tile < 1:
            raise OptionError(f'UnlabelledImages: tile is the side of parts in pixels, got {tile!r}')
        first = pipeline[0] if pipeline else None
        kind = first.get('type', '') if isinstance(first, dict) else type(first).__name__
        if not str(kind).endswith('LoadGeoImage'):
            raise OptionError(
                f'UnlabelledImages: tile={tile} cuts parts out of large images, which only LoadGeoImage '
                f'reads: let it be the first transform of the pipeline, got {kind or None}'
            )
        try:
            import rasterio  # noqa: F401
        except ImportError:
            raise MissingExtraError(
                'UnlabelledImages: parts of images are read through rasterio: pip install "rsmamba_mm[geo]"'
            ) from None


def _say(message: str) -> None:
    print_log(f'UnlabelledImages: {message}', logger='current', level=logging.WARNING)
