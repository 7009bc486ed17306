from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import cv2
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]


def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


_seed()  # for what the test modules draw as they are imported


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test draws the same numbers in every run, whatever ran before it."""
    _seed()


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
