"""Folders of class subfolders: finding the images and splitting them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')


def find_images(folder: str | Path) -> list[Path]:
    """The images in a folder itself, sorted."""
    return sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def find_scenes(folder: str | Path) -> tuple[list[str], list[str], list[int]]:
    """List the images of a folder that has one subfolder for each class.

    Args:
        folder (str | Path): The folder.

    Returns:
        tuple[list[str], list[str], list[int]]: The class names, sorted; the paths of the images,
        relative to the folder and sorted; the class index of each.

    Raises:
        FileNotFoundError: If there is no such folder, or fewer than two subfolders with images.
    """
    folder = Path(folder)
    expected = f'expected: one subfolder for each class, with images ({" ".join(IMAGE_SUFFIXES)})'
    if not folder.is_dir():
        raise FileNotFoundError(f'data folder not found: {folder.resolve()}; {expected}')
    found = {}
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = [path.relative_to(folder).as_posix() for path in find_images(subfolder)]
        if images:
            found[subfolder.name] = images
    if len(found) < 2:
        hint = ''
        if (folder / 'Images').is_dir():
            hint = f'; did you mean {folder / "Images"}?'
        raise FileNotFoundError(
            f'{folder.resolve()} has {len(found)} subfolders with images; {expected}{hint}'
        )
    labels = [label for label, images in enumerate(found.values()) for _ in images]
    return list(found), [image for images in found.values() for image in images], labels


def stratified_split(labels: Sequence[int], fractions: Sequence[float], seed: int = 0) -> list[list[int]]:
    """Split samples at random, each class in the same proportions.

    Args:
        labels (Sequence[int]): Class of each sample.
        fractions (Sequence[float]): Share of each part; they sum to one.
        seed (int): Seed of the split. Defaults to 0.

    Returns:
        list[list[int]]: Sorted sample indices of each part.

    Raises:
        ValueError: If the fractions do not sum to one, or a class has too few samples to give each
            part one.
    """
    if abs(sum(fractions) - 1) > 1e-6 or min(fractions) <= 0:
        raise ValueError(f'fractions must be positive and sum to 1, got {list(fractions)}')
    labels = np.asarray(labels)
    generator = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in fractions]
    bounds = np.cumsum(fractions)[:-1]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        pieces = np.split(members, np.round(bounds * len(members)).astype(int))
        if any(len(piece) == 0 for piece in pieces):
            raise ValueError(
                f'class {label} has {len(members)} samples, too few to split by {list(fractions)}'
            )
        for part, piece in zip(parts, pieces, strict=True):
            part.extend(piece.tolist())
    return [sorted(part) for part in parts]
