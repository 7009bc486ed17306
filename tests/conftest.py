import gc
import os
from collections.abc import Iterator
from pathlib import Path

# One thread in each process that tests start: the tensors are small, and the workers share the cores.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import cv2
import numpy as np
import pytest
import torch
import yapf.yapflib.yapf_api  # noqa: F401 - writes its grammar once, before workers would do so at once
from reliability import Tally

ROOT = Path(__file__).parents[1]
MEMORY = 4 * 2**30  # bytes for a worker and the processes it starts

pytest.register_assert_rewrite('model_tester', 'parity')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``-n auto``: one for each core that has memory, and no more than eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    if not hasattr(os, 'sysconf'):  # Windows does not tell its memory
        return max(1, min(cores // 2, 8))
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(cores, memory // MEMORY, 8))


def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)


_seed()  # for what the test modules draw as they are imported


@pytest.fixture(autouse=True)
def seed() -> None:
    """Every test draws the same numbers in every run, whatever ran before it."""
    _seed()


@pytest.fixture(scope='session', autouse=True)
def plain_configs() -> Iterator[None]:
    """Configs are logged and saved without layout, which takes seconds thrice in a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **options: (text, False))
        yield


@pytest.fixture(scope='module', autouse=True)
def imports_are_no_garbage() -> None:
    """MMEngine collects garbage for each data set: it need not go through the modules, a third of a run."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """How often a repeated check is done, and where its outcome goes."""
    return Tally(request.node.nodeid)


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
