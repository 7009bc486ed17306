"""Faults of the machine end a run with a sentence, and cost no more than the last checkpoint."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from rsmamba_mm.apis import explained_faults
from rsmamba_mm.engine.safe_checkpoint import AtomicBackend, torn
from rsmamba_mm.errors import MissingDataError, OutputError, TrainingError


class Faulty(Dataset):
    """A data set whose samples do something to the process that loads them."""

    def __init__(self, fault):
        self.fault = fault

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.fault()


def hurt():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep():
    time.sleep(2)


def miss():
    raise MissingDataError('image 3 is not there')


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        (
            hurt,
            r'worker .*(killed by signal|exited unexpectedly).*\n.*num_workers=2 .*/dev/shm',
        ),
        (sleep, r'timed out after 1 seconds\n.*Look at the disk; .*train_dataloader.timeout'),
    ],
)
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='workers are forked')
def test_a_process_that_loads_data(fault, message):
    loader = DataLoader(Faulty(fault), num_workers=1, timeout=1, multiprocessing_context='fork')
    with pytest.raises(TrainingError, match=message), explained_faults():
        list(loader)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='workers are forked')
def test_the_sentence_of_an_error_in_a_worker():
    loader = DataLoader(Faulty(miss), num_workers=1, multiprocessing_context='fork')
    with pytest.raises(MissingDataError, match=r'^image 3 is not there$'), explained_faults():
        list(loader)


def test_memory():
    with (
        pytest.raises(TrainingError, match=r'alloc.*\n.*batch_size.*with_cp=True.*crop'),
        explained_faults(),
    ):
        torch.empty(2**58, dtype=torch.uint8)


def test_others_pass_as_they_are():
    with pytest.raises(RuntimeError, match=r'^shapes$'), explained_faults():
        raise RuntimeError('shapes')
    with pytest.raises(TrainingError, match=r'closed by peer.*\n.*MAX_RESTARTS=3'), explained_faults():
        raise RuntimeError('[gloo/transport/tcp/pair.cc] Connection closed by peer')


@pytest.fixture
def small_disk(tmp_path) -> Path:
    """A file system of a megabyte."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    made = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], capture_output=True)
    if made.returncode:
        pytest.skip(f'no file system of its own here: {made.stderr.decode().strip()}')
    yield folder
    subprocess.run(['umount', folder], check=True)


@pytest.mark.reliability
def test_a_full_disk(small_disk, tally):
    """A checkpoint that does not fit leaves the one before it, and no part of itself."""
    backend, checkpoint = AtomicBackend(), small_disk / 'epoch_1.pth'
    torch.save(torch.ones(100_000), checkpoint)
    before, times = checkpoint.read_bytes(), tally.times(2, 50, 200)
    for size in range(times):
        with pytest.raises(
            OutputError, match=r'epoch_\d.pth could not be written \(No space left.*--resume'
        ):
            backend.put(bytes(900_000 + 1000 * size), small_disk / f'epoch_{1 + size % 2}.pth')
        assert [path.name for path in small_disk.iterdir()] == ['epoch_1.pth']
        assert checkpoint.read_bytes() == before and torn(checkpoint) is None
    tally.record(
        'Faults',
        'checkpoint on a full disk (a file system of 1 MB), over an old one or beside it',
        times,
        'a sentence; the old checkpoint is whole, no part of the new one is left',
    )
