from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import cv2
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='session')
def root() -> Path:
    """The project's root, with configs and tools."""
    return ROOT


@pytest.fixture(scope='session')
def scene_folder(tmp_path_factory) -> Path:
    """A folder with three class subfolders of ten small images each."""
    from rsmamba_mm.datasets import render_scene

    folder = tmp_path_factory.mktemp('scenes')
    for name in ('forest', 'parking_lot', 'runway'):
        (folder / name).mkdir()
        for index in range(10):
            image = render_scene(name, size=64, index=index).image
            cv2.imwrite(str(folder / name / f'{name}{index:02d}.png'), image)
    return folder
