"""What a person is told when a run ends by a fault of its machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

from torch import distributed

from ..errors import OptionError, TrainingError, UserError
from ..paths import PACKAGE

# what an error says -> what it means, and what to do
FAULTS = {
    r"out of memory|can't allocate memory|not enough memory|MemoryError": (
        'The memory does not hold this run. What takes less, most first: a smaller '
        'train_dataloader.batch_size (optim_wrapper.accumulative_counts=2 keeps the images of an update), '
        "model.backbone.with_cp=True (computes blocks twice), a smaller crop, --amp, and the scan's native "
        'backend in place of `reference` (python -m rsmamba_mm.doctor names what keeps it out)'
    ),
    r'DataLoader worker.*(exited unexpectedly|killed by signal|Bus error)': (
        'A process that loads data died; often it found too little memory or shared memory. Take fewer: '
        'train_dataloader.num_workers=2 (0: none), or enlarge /dev/shm (docker run --shm-size=8g)'
    ),
    r'DataLoader timed out': (
        'A process that loads data did not answer; often its disk does not. Look at the disk; a slow one '
        'needs a longer train_dataloader.timeout, in seconds'
    ),
    r'NCCL|[Gg]loo|Connection (closed|reset|refused)|[Tt]imed out|DistNetworkError|DistBackendError': (
        'Another process of this job died or does not answer: its own message tells why. '
        'MAX_RESTARTS=3 tools/dist_train.sh … goes on from the last checkpoint by itself; '
        'env_cfg.dist_cfg.timeout is for how many seconds one waits'
    ),
    r'No space left on device': 'Make room, then go on with --resume',
}
# of what configs name the options are arguments of classes, and of hooks of the runner's methods
_UNKNOWN = re.compile(r"(\w+)\.(?:__init__|\w+)\(\) got an unexpected keyword argument '(\w+)'")
_IN_WORKER = re.compile(
    r'Caught \w+ in DataLoader worker process.*\n(?:\S*\.)?\w+(?:Error|Exception): (.*)', re.S
)


def refused_option(error: Exception) -> OptionError | None:
    """Of an option that a class does not take, or that this package refuses; None of other errors."""
    if isinstance(error, UserError):
        return None
    found = _UNKNOWN.search(str(error))
    if found is None:
        *_, (frame, _) = walk_tb(error.__traceback__)
        ours = isinstance(error, ValueError) and PACKAGE in Path(frame.f_code.co_filename).parents
        return OptionError(f'{error} (in the config, or in --cfg-options)') if ours else None
    kind, option = found.groups()
    return OptionError(
        f'{kind} has no option {option!r}: is it spelt right in the config, or in --cfg-options?'
    )


@contextmanager
def explained_options(config: str) -> Iterator[None]:
    """Say which type or option it is that keeps what a config names from being built.

    Args:
        config (str): The config, for the message.

    Raises:
        OptionError: Naming the type or the option.
    """
    try:
        yield
    except KeyError as error:
        if 'is not in the' not in str(error):
            raise
        said = str(error.args[0]).split('. ')[0]
        raise OptionError(f'{config}: {said}: is it spelt right?') from error
    except (TypeError, ValueError) as error:
        if (explained := refused_option(error)) is None:
            raise
        raise explained from error


@contextmanager
def explained_faults() -> Iterator[None]:
    """Say of known faults what they mean and what to do; others pass as they are.

    At a good end the process leaves its job's group: gloo's threads abort one that ends while they run.

    Raises:
        OptionError: If a class that the config names does not take an option.
        TrainingError: If memory, a loading process, another process of the job, or a disk fails.
    """
    try:
        yield
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
    except UserError as error:
        inner = _IN_WORKER.search(str(error))
        if inner is None:
            raise
        raise type(error)(inner[1].strip()) from error
    except TypeError as error:
        if (explained := refused_option(error)) is not None:
            raise explained from error
        raise
    except (RuntimeError, MemoryError, OSError) as error:
        said = f'{type(error).__name__}: {error}'
        for pattern, meaning in FAULTS.items():
            if re.search(pattern, said):
                raise TrainingError(f'{said.splitlines()[0]}\n{meaning}') from error
        raise
