"""The splits of the scene data sets: in the paper's shares, by class and seed."""

from __future__ import annotations

from pathlib import Path

from .aid import AID
from .folder import write_split
from .resisc45 import RESISC45
from .scene_folder import SceneFolder
from .ucmerced import UCMerced

#: data set and the share that the paper trains on; 0.8 for a folder
SCENES: dict[str, tuple[type[SceneFolder], float]] = {
    'ucmerced': (UCMerced, 0.7),
    'aid': (AID, 0.5),
    'resisc45': (RESISC45, 0.7),
    'folder': (SceneFolder, 0.8),
}


def split_scenes(
    dataset: SceneFolder, share: float, out: str | Path, seed: int = 0
) -> tuple[list[str], list[int], list[int]]:
    """Split a scene data set and write ``train.txt`` and, for the test, ``val.txt``.

    Args:
        dataset (SceneFolder): All of its images.
        share (float): Share for training, of each class.
        out (str | Path): Folder for the lists.
        seed (int): Seed of the split. Defaults to 0.

    Returns:
        tuple[list[str], list[int], list[int]]: Paths of the images; indices of those for training, and for
        the test.

    Raises:
        OptionError: If a class has too few images.
    """
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    paths.sort(key=lambda path: Path(path).parent.name)
    names = [Path(path).parent.name for path in paths]
    return paths, *write_split(paths, names, share, out, seed)
