"""Where the files of a published archive belong in the folder that the configs read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from ..folder import IMAGE_SUFFIXES
from ..scene_folder import SceneFolder

_LOVEDA = re.compile(r'(?:^|/)(Train|Val|Test)/(?:Rural|Urban)/(images|masks)_png/([^/]+\.png)$')


class Tiles(NamedTuple):
    """An ISPRS data set: its files, the archives in them, and the released options of the tiling."""

    files: tuple[str, ...]
    inner: tuple[str, ...]
    options: tuple[str, ...]


ISPRS: dict[str, Tiles] = {
    'vaihingen': Tiles(
        (
            'ISPRS_semantic_labeling_Vaihingen.zip',
            'ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE.zip',
            'ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE.zip',
        ),
        (),
        ('--train-stride', '1024', '--flips', '--zoom', 'car', '0.1'),
    ),
    'potsdam': Tiles(
        ('Potsdam.zip',),
        ('2_Ortho_RGB.zip', '5_Labels_all.zip', '5_Labels_all_noBoundary.zip'),
        ('--parts', '22', '2', '14', '--train-stride', '1024', '--flips'),
    ),
}


def scene_place(kind: type[SceneFolder]) -> Callable[[PurePosixPath], str | None]:
    """Images of the class folders of a scene data set, whatever lies above them."""
    classes = set(kind.METAINFO['classes'])

    def place(path: PurePosixPath) -> str | None:
        if path.parent.name in classes and path.suffix.lower() in IMAGE_SUFFIXES:
            return str(PurePosixPath(kind.FOLDER, path.parent.name, path.name))
        return None

    return place


def loveda_place(path: PurePosixPath) -> str | None:
    """``img_dir`` and ``ann_dir``, rural and urban together, as mmsegmentation's converter has them."""
    found = _LOVEDA.search(str(path))
    if found is None:
        return None
    part, kind, name = found.groups()
    return f'{"img" if kind == "images" else "ann"}_dir/{part.lower()}/{name}'


def isprs_place(name: str, archive: str) -> Callable[[PurePosixPath], str | None]:
    """``images``, ``masks`` and ``eroded`` masks of the tiles; what else is sent is left out.

    Args:
        name (str): ``'vaihingen'``, whose masks bear the names of the images and are told by their archive,
            or ``'potsdam'``, whose names say what they are.
        archive (str): Name of the archive.
    """
    truth = 'ground_truth' in archive.lower()

    def place(path: PurePosixPath) -> str | None:
        if path.suffix.lower() not in ('.tif', '.tiff'):
            return None
        stem = path.stem.lower()
        if stem.endswith('_noboundary'):
            part = 'eroded'
        elif name == 'potsdam':
            part = {'rgb': 'images', 'label': 'masks'}.get(stem.rpartition('_')[2])
        elif truth:
            part = 'masks'
        else:
            part = 'images' if path.parent.name == 'top' else None
        return part and f'{part}/{path.name}'

    return place
