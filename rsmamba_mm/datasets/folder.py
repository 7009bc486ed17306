"""Folders of class subfolders: finding the images and splitting them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import MissingDataError, OptionError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')


def find_images(folder: str | Path) -> list[Path]:
    """The images in a folder itself, sorted.

    Raises:
        MissingDataError: If the folder cannot be listed.
    """
    try:
        return sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except PermissionError as error:
        raise MissingDataError(
            f'{folder} cannot be listed by this user ({error.strerror}): chmod a+rx, or ask its owner'
        ) from error


def find_images_below(folder: str | Path) -> list[Path]:
    """The images in a folder and in all folders in it, sorted; hidden ones and links to folders are not
    looked at.

    Raises:
        MissingDataError: If it, or a folder in it, cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise MissingDataError(
            f'{error.filename} cannot be listed by this user ({error.strerror}): chmod a+rx, or '
            'ask its owner'
        ) from error

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = (name for name in folders if not name.startswith('.'))
        found += [Path(place, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    return sorted(path for path in found if not path.name.startswith('.'))


def find_scenes(folder: str | Path) -> tuple[list[str], list[str], list[int]]:
    """List the images of a folder that has one subfolder for each class.

    Args:
        folder (str | Path): The folder.

    Returns:
        tuple[list[str], list[str], list[int]]: The class names, sorted; the paths of the images,
        relative to the folder and sorted; the class index of each.

    Raises:
        MissingDataError: If there is no such folder, a link in it leads nowhere, or fewer than two
            subfolders have images.
    """
    folder = Path(folder)
    expected = f'expected: one subfolder for each class, with images ({" ".join(IMAGE_SUFFIXES)})'
    if not folder.is_dir():
        raise MissingDataError(f'data folder not found: {folder.resolve()}; {expected}')
    found = {}
    for path in folder.iterdir():
        if path.is_symlink() and not path.exists():
            raise MissingDataError(f'{path} is a link that leads nowhere, or to itself: mend or remove it')
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = [path.relative_to(folder).as_posix() for path in find_images(subfolder)]
        if images:
            found[subfolder.name] = images
    if len(found) < 2:
        hint = ''
        if (folder / 'Images').is_dir():
            hint = f'; did you mean {folder / "Images"}?'
        raise MissingDataError(
            f'{folder.resolve()} has {len(found)} subfolders with images; {expected}{hint}'
        )
    labels = [label for label, images in enumerate(found.values()) for _ in images]
    return list(found), [image for images in found.values() for image in images], labels


def write_split(
    images: Sequence[str],
    labels: Sequence[int] | Sequence[str],
    train: float,
    out: str | Path,
    seed: int = 0,
) -> tuple[list[int], list[int]]:
    """Split images and write ``train.txt`` and, for the test, ``val.txt``: ``Class/name`` lines.

    The names are those of the RSMamba authors' lists.

    Args:
        images (Sequence[str]): Paths that end with ``Class/name``.
        labels (Sequence[int] | Sequence[str]): Class of each.
        train (float): Share for training.
        out (str | Path): Folder for the lists; made if it is not there.
        seed (int): Seed of the split. Defaults to 0.

    Returns:
        tuple[list[int], list[int]]: Indices of the training and the test images.

    Raises:
        OptionError: As :func:`stratified_split`.
    """
    parts = stratified_split(labels, (train, 1 - train), seed)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(('train', 'val'), parts, strict=True):
        lines = ('/'.join(Path(images[index]).parts[-2:]) + '\n' for index in part)
        (out / f'{name}.txt').write_text(''.join(lines))
    return parts[0], parts[1]


def stratified_split(
    labels: Sequence[int] | Sequence[str], fractions: Sequence[float], seed: int = 0
) -> list[list[int]]:
    """Split samples at random, each class in the same proportions.

    Args:
        labels (Sequence[int] | Sequence[str]): Class of each sample. By names a seed means a split
            whatever the order of the classes.
        fractions (Sequence[float]): Share of each part; they sum to one.
        seed (int): Seed of the split. Defaults to 0.

    Returns:
        list[list[int]]: Sorted sample indices of each part.

    Raises:
        OptionError: If the fractions do not sum to one, or a class has too few samples to give each
            part one.
    """
    if abs(sum(fractions) - 1) > 1e-6 or min(fractions) <= 0:
        raise OptionError(f'fractions must be positive and sum to 1, got {list(fractions)}')
    labels = np.asarray(labels)
    generator = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in fractions]
    bounds = np.cumsum(fractions)[:-1]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        pieces = np.split(members, np.round(bounds * len(members)).astype(int))
        if any(len(piece) == 0 for piece in pieces):
            raise OptionError(
                f'class {label} has {len(members)} samples, too few to split by {list(fractions)}'
            )
        for part, piece in zip(parts, pieces, strict=True):
            part.extend(piece.tolist())
    return [sorted(part) for part in parts]
