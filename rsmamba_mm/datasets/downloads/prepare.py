"""From a published archive to the folder that the configs read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ...errors import DownloadError, MissingDataError, OptionError
from ...paths import share
from ..folder import IMAGE_SUFFIXES
from ..splits import SCENES, split_scenes
from .fetch import fetch, require_space, verify
from .layouts import ISPRS, isprs_place, loveda_place, scene_place
from .sources import SOURCES, Archive, Source
from .unpack import unpack


def prepare_dataset(
    name: str,
    root: str | Path,
    archives: Sequence[str | Path] = (),
    mirror: str | None = None,
    any_checksum: bool = False,
    keep: bool = False,
    report: Callable[[str], None] = print,
) -> Path:
    """Fetch a published data set, unpack it to the layout that the configs expect, and split it.

    Args:
        name (str): One of :data:`SOURCES`.
        root (str | Path): Folder of all data; the data set's own is made in it.
        archives (Sequence[str | Path]): Files fetched by hand, in place of the published ones of their
            names; of a data set of one file, whatever the name. Defaults to none.
        mirror (str, optional): Address of a folder that has the files. Defaults to None, the publisher's.
        any_checksum (bool): Whether to take files by hand whose checksum is another one, such as an archive
            that was packed anew. Defaults to False.
        keep (bool): Whether fetched archives stay, in ``root/downloads``. Defaults to False.
        report (Callable[[str], None]): Takes a line on each step. Defaults to print.

    Returns:
        Path: The folder of the data set.

    Raises:
        DownloadError: If a file cannot be fetched or unpacked; the message says where to get it by hand.
        MissingDataError: If a file given is not there, or the data set is there in part.
        OptionError: If there is no such data set, or a file is none of it.
    """
    if name not in SOURCES:
        raise OptionError(f'no data set {name!r}; known are {", ".join(SOURCES)}')
    source, root = SOURCES[name], Path(root)
    target = root / source.folder
    report(f'{source.title}: licence: {source.licence}')
    given = [Path(path) for path in archives]
    for path in given:
        if not path.is_file():
            raise MissingDataError(f'--archive: no such file: {path}')
    if target.is_dir() and any(path.is_dir() for path in target.iterdir()):
        _finish(name, target, report, 'is there already')
        return target
    if not source.archives:
        _from_tiles(name, source, target, given, report)
        return target
    by_hand = _assigned(source, given)
    missing = [archive for archive in source.archives if archive not in by_hand]
    downloads, files = root / 'downloads' / name, []
    received = sum(path.stat().st_size for path in downloads.glob('*'))
    # what is unpacked is about as large again
    require_space(root, 2 * sum(archive.size or 0 for archive in missing) - received, source.title)
    for archive in source.archives:
        path = by_hand.get(archive)
        if path is None:
            size = '' if archive.size is None else f', {archive.size / 1e9:.2f} GB'
            report(f'fetching {archive.name}{size}, from {mirror or archive.url}')
            path = _fetched(archive, downloads, mirror, source)
            report(f'{archive.name}: checksum right')
        elif any_checksum:
            report(f'{path}: taken without looking at its checksum')
        else:
            _verified(path, archive, source)
            report(f'{path}: checksum right')
        files.append(path)
    place = loveda_place if name == 'loveda' else scene_place(SCENES[name][0])
    with _workshop(root, name) as folder:
        for path in files:
            if not unpack(path, folder, place):
                raise DownloadError(f'{path} has no images of {source.title}: it is another archive')
        _require_classes(name, folder, files[0])
        _move(folder, target)
    if not keep and downloads.is_dir():
        shutil.rmtree(downloads)
        if not any(downloads.parent.iterdir()):
            downloads.parent.rmdir()
    _finish(name, target, report, 'is ready')
    return target


def _assigned(source: Source, given: Sequence[Path]) -> dict[Archive, Path]:
    """Files given by hand, by the published file that each stands for."""
    if len(source.archives) == 1 and len(given) == 1:
        return {source.archives[0]: given[0]}
    known = {archive.name.lower(): archive for archive in source.archives}
    for path in given:
        if path.name.lower() not in known:
            raise OptionError(
                f'--archive: {path} is none of {source.title}, whose files are '
                f'{", ".join(archive.name for archive in source.archives)}'
            )
    return {known[path.name.lower()]: path for path in given}


def _fetched(archive: Archive, folder: Path, mirror: str | None, source: Source) -> Path:
    try:
        return fetch(archive, folder, mirror)
    except DownloadError as error:
        raise DownloadError(
            f'{error}. By hand: get {archive.name} from {source.by_hand}, and give it: --archive FILE'
        ) from None


def _verified(path: Path, archive: Archive, source: Source) -> None:
    try:
        verify(path, archive)
    except DownloadError as error:
        raise DownloadError(
            f'{error}. Get it again from {source.by_hand}; or, if you know it to be whole and packed by '
            'somebody else: --any-checksum'
        ) from None


def _require_classes(name: str, folder: Path, archive: Path) -> None:
    """Refuse scenes of which classes are missing."""
    if name not in SCENES:
        return
    kind = SCENES[name][0]
    classes = kind.METAINFO['classes']
    missing = [label for label in classes if not (folder / kind.FOLDER / label).is_dir()]
    if missing:
        raise DownloadError(
            f'{archive} lacks {len(missing)} of {len(classes)} classes: {", ".join(missing[:5])}'
            f'{" …" if len(missing) > 5 else ""}. It is another archive, or a part of one'
        )


def _finish(name: str, target: Path, report: Callable[[str], None], state: str) -> None:
    """Say what is there, and split scenes that have no lists yet."""
    if name not in SCENES:
        folders = sorted(path for path in target.glob('*_dir/*') if path.is_dir())
        counts = {folder: sum(p.suffix in IMAGE_SUFFIXES for p in folder.iterdir()) for folder in folders}
        said = ', '.join(f'{count} in {f.relative_to(target)}' for f, count in counts.items())
        report(f'{target} {state}: {said}')
        return
    kind, portion = SCENES[name]
    dataset = kind(str(target))
    published = '' if len(dataset) == kind.NUM_IMAGES else f'; as published it has {kind.NUM_IMAGES}'
    report(f'{target} {state}: {len(dataset)} images of {len(dataset.CLASSES)} classes{published}')
    lists = [target / 'train.txt', target / 'val.txt']
    there = [path.name for path in lists if path.exists()]
    if there:
        report(f'{" and ".join(there)} are there and stay as they are')
        return
    _, train, test = split_scenes(dataset, portion, target)
    report(f'{lists[0]}: {len(train)} images; {lists[1]}, for the test: {len(test)}')


def _from_tiles(
    name: str, source: Source, target: Path, given: Sequence[Path], report: Callable[[str], None]
) -> None:
    """Unpack the archives of an ISPRS data set and cut its tiles."""
    wanted = ISPRS[name]
    if not given:
        raise DownloadError(
            f'{source.title} cannot be fetched: its owners want a form filled in, at {source.by_hand}. '
            f'Then give its files, all in one call: {" ".join(f"--archive {f}" for f in wanted.files)}'
        )
    with _workshop(target.parent, name) as folder:
        for path in given:
            for inner in _nested(path, folder, wanted.inner):
                unpack(inner, folder, isprs_place(name, path.name))
        for part in ('images', 'masks', 'eroded'):
            if not (folder / part).is_dir():
                raise DownloadError(
                    f'{source.title}: no tiles for {part} in {", ".join(map(str, given))}. Wanted: '
                    f'{", ".join(wanted.files)}'
                )
        tool = share() / 'tools/dataset_converters/isprs_tiles.py'
        parts = [folder / 'images', folder / 'masks', '--eroded', folder / 'eroded']
        command = [tool, *parts, *wanted.options, '--out', folder / 'tiles']
        report(f'cutting the tiles as released: isprs_tiles.py {" ".join(wanted.options)}')
        if subprocess.run([sys.executable, *map(str, command)]).returncode:
            raise DownloadError(f'{tool.name} did not cut the tiles; what it said stands above')
        _move(folder / 'tiles', target)
    _finish(name, target, report, 'is ready')


def _nested(archive: Path, folder: Path, names: Sequence[str]) -> list[Path]:
    """An archive, or the archives of these names in it."""

    def inner(path: PurePosixPath) -> str | None:
        return path.name if path.name in names else None

    return unpack(archive, folder / archive.stem, inner) or [archive]


@contextmanager
def _workshop(root: Path, name: str) -> Iterator[Path]:
    """A folder on the disk of the data: what is half done never looks like a data set."""
    folder = root / f'.{name}-unpacking'
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _move(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        path.rename(target / path.name)
