"""Images in zip files, read where they lie: ``zip:///FOLDER/ARCHIVE.zip!/NAME``."""

from __future__ import annotations

import os
import zipfile
from functools import lru_cache
from pathlib import Path

from mmengine.fileio import BaseStorageBackend, register_backend

from ..errors import MissingDataError

_SCHEME = 'zip'


class ZipBackend(BaseStorageBackend):
    """MMEngine's way to files, for those in zip archives."""

    def get(self, filepath: str) -> bytes:
        """Content of a file.

        Raises:
            KeyError: If the archive has no such file.
            zipfile.BadZipFile: If it is damaged.
        """
        archive, name = _parts(filepath)
        return _archive(archive).read(name)

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """Content of a text file."""
        return self.get(filepath).decode(encoding)


register_backend(_SCHEME, ZipBackend, force=True, prefixes=_SCHEME)


def zip_members(archive: str | Path) -> dict[str, str]:
    """The files of an archive: name to the path that opens it, in the order of the names.

    Raises:
        MissingDataError: If it is no zip file, or not a whole one.
    """
    archive = Path(archive).resolve()
    try:
        names = _archive(str(archive)).namelist()
    except zipfile.BadZipFile as error:
        raise MissingDataError(f'{archive} cannot be read as a zip file ({error})') from None
    return {
        name: f'{_SCHEME}://{archive}!/{name}'
        for name in sorted(names)
        # what a Mac packs beside each file is no image, whatever its suffix
        if not name.endswith('/') and not Path(name).name.startswith('._')
    }


def gdal_path(path: str) -> str:
    """What GDAL opens: its own form for a file in an archive, any other path as it is."""
    # rasterio's form of it, which is like ours, has no way to write a #
    return '/vsizip/{{{}}}/{}'.format(*_parts(path)) if path.startswith(f'{_SCHEME}://') else path


def _parts(path: str) -> tuple[str, str]:
    """Archive and name."""
    archive, _, name = path.removeprefix(f'{_SCHEME}://').partition('!/')
    return archive, name


def _archive(path: str) -> zipfile.ZipFile:
    """An archive, whose list of files is read once; anew if it has changed, and in another process."""
    return _opened(path, os.stat(path).st_mtime_ns, os.getpid())


@lru_cache(maxsize=1)
def _opened(path: str, changed: int, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
