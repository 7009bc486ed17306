"""What of a map is finished, in a folder beside it: an interrupted run goes on from there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import MemoryFile

from ...errors import OptionError
from .grid import Strip

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

FORMAT = 1


class Journal:
    """A folder with the finished strips, a small GeoTIFF for each and each product.

    Args:
        dst (Path): The map that it is for; the folder is ``DST.part``.
        run (dict): Of what the pixels depend on, for JSON.

    Attributes:
        folder (Path): The folder.
    """

    def __init__(self, dst: Path, run: dict) -> None:
        self.folder = dst.with_name(f'{dst.name}.part')
        self._file = self.folder / 'run.json'
        self._run = json.loads(json.dumps(dict(run, format=FORMAT)))
        self._lock = None

    def open(self, restart: bool = False) -> None:
        """Make the folder, or take the one that is there.

        Args:
            restart (bool): Whether to leave what is there. Defaults to False.

        Raises:
            OptionError: If it cannot be made, another run has it, or it is of another run than this.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / 'lock').open('w')
        except OSError as error:
            raise OptionError(f'{self.folder.parent} cannot be written ({error.strerror})') from error
        try:
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(f'another run is writing {self.folder}: wait for it, or end it') from None
        except OSError:
            pass  # a file system without locks
        if restart:
            for path in self.folder.iterdir():
                if path.name != 'lock':
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self._file.is_file():
            self._compare(json.loads(self._file.read_text(encoding='utf-8')))
        else:
            store(self._file, (json.dumps(self._run, indent=1) + '\n').encode())

    def _compare(self, theirs: dict) -> None:
        changed = [
            f'{key} was {_short(theirs.get(key))} and is {_short(self._run.get(key))}'
            for key in {**theirs, **self._run}
            if theirs.get(key) != self._run.get(key)
        ]
        if changed:
            raise OptionError(
                f'{self.folder} is of an interrupted run with other settings: {"; ".join(changed)}. Repeat '
                f'it with those to finish it{_threads(theirs, self._run)}, or begin anew with --restart'
            )

    def path(self, strip: Strip, product: str) -> Path:
        return self.folder / product / f'{strip.name}.tif'

    def done(self, strip: Strip) -> bool:
        """Whether all of a strip is there: its labels come last."""
        return self.path(strip, 'labels').is_file()

    def write(self, strip: Strip, arrays: dict[str, np.ndarray]) -> None:
        """Keep a strip.

        Args:
            strip (Strip): Which.
            arrays (dict[str, np.ndarray]): ``(bands, H, W)`` of each product, with ``'labels'``.

        Raises:
            OSError: If the disk is full, or the like.
        """
        for product, array in sorted(arrays.items(), key=lambda item: item[0] == 'labels'):
            path = self.path(strip, product)
            path.parent.mkdir(exist_ok=True)
            store(path, _geotiff(array))

    def remove(self) -> None:
        """Leave nothing."""
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def store(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f'{path.name}.new')
    with part.open('wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _geotiff(array: np.ndarray) -> bytes:
    # in memory, since GDAL tells of a full disk too late; tiles, which the finished map is read by
    bands, height, width = array.shape
    profile: dict[str, Any] = dict(driver='GTiff', count=bands, height=height, width=width)
    profile.update(
        dtype=array.dtype, tiled=True, blockxsize=512, blockysize=min(512, -(-height // 16) * 16)
    )
    profile.update(compress='deflate', zlevel=1, interleave='band')
    with MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(array)
        return bytes(memory.getbuffer())


def _threads(theirs: dict, ours: dict) -> str:
    """How to have as many threads in each process as the interrupted run."""
    wanted = theirs.get('threads')
    return f' (OMP_NUM_THREADS={wanted})' if wanted and wanted != ours.get('threads') else ''


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f'{text[:77]}…'
