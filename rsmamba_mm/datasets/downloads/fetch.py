"""Fetch a published file: resumed where it broke off, and checked."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn

from ...errors import DownloadError
from ...version import __version__
from .sources import Archive

_CHUNK = 1 << 20
_AGENT = f'rsmamba_mm/{__version__}'
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may be different in a moment


def fetch(
    archive: Archive,
    folder: str | Path,
    mirror: str | None = None,
    timeout: float = 60.0,
    patience: int = 4,
    pause: float = 1.0,
) -> Path:
    """Fetch a file into a folder, unless it is there, and check it.

    What was received before a break is kept as ``NAME.part``, in this call and for the next one, and only
    the rest is asked for; a server that sends no ranges sends the whole again.

    Args:
        archive (Archive): What to fetch.
        folder (str | Path): Folder for it; made if it is not there.
        mirror (str, optional): Address of a folder that has the file under its name. Defaults to None, the
            publisher's.
        timeout (float): Seconds without a byte that count as a break. Defaults to 60.
        patience (int): Breaks in a row without a byte more until giving up. Defaults to 4.
        pause (float): Seconds before the first new attempt; twice as many before each further one in a row.
            Defaults to 1.

    Returns:
        Path: The file.

    Raises:
        DownloadError: If the server cannot be reached, does not have the file or has another one, the
            connection keeps breaking off, the disk is too small, or the checksum is wrong.
    """
    url = archive.url if mirror is None else f'{mirror.rstrip("/")}/{archive.name}'
    target = Path(folder) / archive.name
    part = target.with_name(f'{archive.name}.part')
    part.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():
        verify(target, archive)
        return target
    failures = 0
    while archive.size is None or _size(part) != archive.size:
        before = _size(part)
        try:
            _receive(url, part, archive, timeout)
            break
        except HTTPError as error:
            if error.code == 416:  # nothing after what is there: the checksum says whether that is all
                break
            problem = f'{url} answers {error.code} {error.reason}'
            if error.code not in _PASSING:
                raise DownloadError(problem) from None
        except (URLError, ConnectionError, TimeoutError, SSLError, HTTPException) as error:
            problem = f'{url} cannot be fetched ({getattr(error, "reason", None) or error})'
        failures = 0 if _size(part) > before else failures + 1
        if failures == patience:
            kept = f'; {_size(part):,} bytes are kept in {part}, run it again to go on' if before else ''
            raise DownloadError(problem + kept)
        time.sleep(pause * 2 ** max(failures - 1, 0))
    try:
        verify(part, archive)
    except DownloadError as error:
        part.unlink()
        raise DownloadError(f'{error}. It is removed: run it again') from None
    return part.rename(target)


def verify(path: str | Path, archive: Archive) -> None:
    """Compare a file with the published checksum.

    Raises:
        DownloadError: If it is another one.
    """
    kind, _, wanted = archive.checksum.partition(':')
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, 'rb') as file, bytes_bar(f'checking {archive.name}', _size(path)) as advance:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    if digest.hexdigest() != wanted:
        raise DownloadError(
            f'{path} is not {archive.name} as published: its {kind} is {digest.hexdigest()}, not {wanted}'
        )


def require_space(folder: str | Path, needed: int, what: str) -> None:
    """Refuse what the disk of a folder does not hold.

    Raises:
        DownloadError: If fewer than ``needed`` bytes are free there.
    """
    folder = Path(folder)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f'{what} needs {needed / 1e9:.2f} GB in {folder.resolve()}, where {free / 1e9:.2f} GB are '
            'free. Make room, or take another disk: --root FOLDER'
        )


@contextmanager
def bytes_bar(label: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar of bytes on the error stream; what it yields takes the number of further ones."""
    columns = (TextColumn('{task.description}'), BarColumn(), DownloadColumn(), SpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total, completed=done)
        yield lambda count: bars.advance(task, count)


def _receive(url: str, part: Path, archive: Archive, timeout: float) -> None:
    """Receive what is missing of a file, or the whole where the server sends no ranges."""
    done = _size(part)
    headers = {'User-Agent': _AGENT, **({'Range': f'bytes={done}-'} if done else {})}
    with urlopen(Request(url, headers=headers), timeout=timeout) as response:
        if response.status != 206:
            done = 0
        length = response.headers.get('Content-Length')
        total = None if length is None else done + int(length)
        if None not in (total, archive.size) and total != archive.size:
            raise DownloadError(
                f'{url} has {total:,} bytes, {archive.name} as published {archive.size:,}: another file, '
                'or a page in its place'
            )
        require_space(part.parent, (total or archive.size or 0) - done, archive.name)
        with part.open('ab' if done else 'wb') as file, bytes_bar(archive.name, total, done) as advance:
            while chunk := response.read1(_CHUNK):  # what is there: a break loses nothing
                file.write(chunk)
                advance(len(chunk))
    if total is not None and _size(part) < total:
        raise ConnectionError(f'broken off after {_size(part):,} of {total:,} bytes')


def _size(path: str | Path) -> int:
    path = Path(path)
    return path.stat().st_size if path.is_file() else 0
