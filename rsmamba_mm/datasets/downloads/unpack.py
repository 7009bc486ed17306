"""Unpack a zip or tar file whose content is not trusted."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from ...errors import DownloadError
from .fetch import bytes_bar, require_space

# RuntimeError: encrypted, or packed in a way that zipfile does not know
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)


class _Member(NamedTuple):
    name: str
    size: int
    regular: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: str | Path, folder: str | Path, place: Callable[[PurePosixPath], str | None]
) -> list[Path]:
    """Unpack the wanted files of a zip or tar archive.

    All names are checked before anything is written.

    Args:
        archive (str | Path): The archive.
        folder (str | Path): Where to.
        place (Callable[[PurePosixPath], str | None]): Where in the folder a file of the archive belongs;
            None leaves it out.

    Returns:
        list[Path]: The files written.

    Raises:
        DownloadError: If the archive is broken or of another kind, has a name that leads out of the folder,
            a link or a device, two files for one place, or more than the disk holds.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with _members(archive) as members:
            wanted = _placed(archive, members, place)
            total = sum(member.size for member in wanted.values())
            require_space(folder, total, f'unpacking {archive.name}')
            with bytes_bar(f'unpacking {archive.name}', total) as advance:
                for target, member in wanted.items():
                    path = folder / target
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with member.open() as source, path.open('wb') as file:
                        shutil.copyfileobj(source, file, 1 << 20)
                    advance(member.size)
    except _BROKEN as error:
        raise DownloadError(f'{archive} cannot be unpacked ({error}): fetch it again') from error
    return [folder / target for target in wanted]


def _placed(
    archive: Path, members: list[_Member], place: Callable[[PurePosixPath], str | None]
) -> dict[str, _Member]:
    """Members by their place; refuses the archive for what it must not have."""
    wanted: dict[str, _Member] = {}
    for member in members:
        path = PurePosixPath(member.name.replace('\\', '/'))
        if path.is_absolute() or '..' in path.parts or ':' in member.name:
            raise DownloadError(f'{archive}: {member.name!r} leads out of the folder; nothing is unpacked')
        if not member.regular:
            raise DownloadError(
                f'{archive}: {member.name!r} is a link or a device, no file; nothing is unpacked'
            )
        if '__MACOSX' in path.parts or path.name.startswith('._'):
            continue
        target = place(path)
        if target is None:
            continue
        if target in wanted:
            raise DownloadError(
                f'{archive}: {wanted[target].name!r} and {member.name!r} are both for {target}; nothing is '
                'unpacked'
            )
        wanted[target] = member
    return wanted


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    """The files and links of a zip or tar archive."""
    with archive.open('rb') as file:
        start = file.read(4)
    if start == b'Rar!':
        raise DownloadError(
            f'{archive} is a rar, for which there is no free library. Take the zip that this tool fetches, '
            'or unpack it (unrar x, 7z x or bsdtar -xf), put its class folders where the configs look, and '
            'split them: tools/dataset_converters/split_scenes.py'
        )
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            infos = [info for info in file.infolist() if not info.is_dir()]
            yield [_Member(i.filename, i.file_size, _is_regular(i), partial(file.open, i)) for i in infos]
    elif not start.startswith(b'PK') and tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            infos = [info for info in file if not info.isdir()]
            yield [_Member(i.name, i.size, i.isreg(), partial(file.extractfile, i)) for i in infos]
    else:
        raise DownloadError(f'{archive} is no whole zip or tar file: fetch it again')


def _is_regular(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG)  # 0: packed where files have no mode
