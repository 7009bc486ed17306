"""Training that goes on after it was killed as if nothing had happened, to the bit."""

from __future__ import annotations

import errno
import logging
import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import DATASETS, LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Dataset, Sampler

from ..errors import OptionError, TrainingError
from .check_classes import bare_model

WORKER_TIMEOUT = 600  # seconds that a batch is waited for
PAUSES = (0.5, 2.0, 8.0)  # seconds before a file is read again
# what passes by itself: of network file systems, and of disks
PASSING = {
    getattr(errno, name)
    for name in (
        'EIO',
        'EAGAIN',
        'ESTALE',
        'ETIMEDOUT',
        'ECONNRESET',
        'EHOSTUNREACH',
        'ENETUNREACH',
        'EREMOTEIO',
    )
    if hasattr(errno, name)
}
STATES = 'random_states'  # of each rank, in a checkpoint's message hub, which no published model has


@LOOPS.register_module()
class ExactTrainLoop(EpochBasedTrainLoop):
    """Epochs that a resumed run finishes with the same weights as one that was never cut.

    MMEngine resumes at the start of an epoch and saves no state of the random generators. Here each epoch
    begins with generators seeded by the run's seed and the epoch; each sample is loaded with generators of
    its own, seeded by the run's seed, the epoch and its index, so that neither the number of workers nor
    their prefetching shows; and a checkpoint holds the generators' states and the gradients that are
    accumulated so far, so that a run goes on inside an epoch, at the batch after the last one. A validation
    that a run was cut in is made up for when it goes on.

    It is exact with the same number of threads and processes; with another number of processes a run goes
    on, and says that it is not. Of several processes only :class:`SafeCheckpointHook` keeps the states.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader or dict): Of the training part; of a built one samples draw from whatever
            generators its workers have.
        max_epochs (int): Length of the training.
        val_begin (int): First epoch after which to validate. Defaults to 1.
        val_interval (int): Epochs between two validations. Defaults to 1.
        dynamic_intervals (list[tuple[int, int]], optional): Other intervals from some epochs on. Defaults
            to None.

    Raises:
        OptionError: If the batches of the data loader do not come from a sampler.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs) -> None:
        if isinstance(dataloader, dict) and isinstance(dataloader.get('dataset'), dict):
            dataset = DATASETS.build(dataloader['dataset'])
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
            dataloader = {**dataloader, 'dataset': SeededDataset(dataset, runner.seed)}
            if dataloader.get('num_workers'):  # without them PyTorch refuses it
                dataloader.setdefault('timeout', WORKER_TIMEOUT)
        super().__init__(runner, dataloader, *args, **kwargs)
        batches: Any = self.dataloader.batch_sampler
        if not isinstance(getattr(batches, 'sampler', None), Sampler):
            raise OptionError(
                'ExactTrainLoop: train_dataloader has a batch sampler without a sampler, whose place could '
                "not be found again: give it a sampler, or take train_cfg=dict(type='EpochBasedTrainLoop')"
            )
        self.sampler = batches.sampler = ResumedSampler(batches.sampler, batches.batch_size)
        self.states = _States(self)
        runner.register_hook(self.states, priority='VERY_LOW')

    @property
    def done(self) -> int:
        """Batches of the epoch that are done."""
        return self._iter - self._epoch * len(self.dataloader)

    def run_epoch(self) -> None:
        """Run what is left of an epoch."""
        runner, done = self.runner, self.done
        seed_generators(runner.seed, self._epoch, gpus=True)
        runner.call_hook('before_train_epoch')
        runner.model.train()
        self.sampler.epoch, self.sampler.done = self._epoch, done
        before = generator_states()
        batches = iter(self.dataloader)  # draws a seed, unless its workers are there already
        set_generator_states(before)
        if done:
            self.states.restore()
        for idx, batch in enumerate(batches, done):
            self.run_iter(idx, batch)
        runner.call_hook('after_train_epoch')
        self._epoch += 1

    def go_on(self) -> None:
        """Take the seed that the run began with, and make up for the validation that it was cut in."""
        for seeded in (self.dataloader.dataset, self.dataloader.sampler):
            if hasattr(seeded, 'seed'):
                seeded.seed = self.runner.seed
        if self._epoch >= self._max_epochs:
            self.runner.logger.warning(
                'this run has all of its %d epochs: to train on, --cfg-options train_cfg.max_epochs=N',
                self._max_epochs,
            )
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.done == 0 and self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.states.restore()
            self.runner.val_loop.run()


class EpochIndex(int):
    """Index of a sample that knows the epoch, and how often it came in it before; like any number else."""

    epoch: int
    before: int

    def __new__(cls, index: int, epoch: int, before: int = 0) -> EpochIndex:
        self = super().__new__(cls, index)
        self.epoch, self.before = epoch, before
        return self

    def __reduce__(self) -> tuple:
        return EpochIndex, (int(self), self.epoch, self.before)


class ResumedSampler(Sampler):
    """Samples of another sampler, without those of the batches of an epoch that are done.

    Args:
        sampler (Sampler): Whose order is the same for the same epoch.
        batch_size (int): Samples of a batch.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        self.sampler, self.batch_size, self.epoch, self.done = sampler, batch_size, 0, 0

    def __iter__(self) -> Iterator[EpochIndex]:
        came: Counter[int] = Counter()
        for place, index in enumerate(self.sampler):
            if place >= self.done * self.batch_size:
                yield EpochIndex(index, self.epoch, came[index])
            came[index] += 1

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]


class SeededDataset(Dataset):
    """A data set whose samples draw from generators seeded by the seed, the epoch and their index.

    A sample that a sampler draws again in an epoch is seeded anew.

    A file that cannot be read for a reason that often passes, such as a network's, is read again, thrice.
    All else is as of the data set.

    Args:
        dataset (Dataset): The data set.
        seed (int): Of the run.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, index: int) -> Any:
        before = generator_states()
        try:
            for pause in (*PAUSES, None):
                seed_generators(
                    self.seed, getattr(index, 'epoch', 0), int(index), getattr(index, 'before', 0)
                )
                try:
                    return self.dataset[int(index)]
                except OSError as error:
                    if error.errno not in PASSING:
                        raise
                    self._wait(int(index), error, pause)
        finally:
            set_generator_states(before)

    def _wait(self, index: int, error: OSError, pause: float | None) -> None:
        """Wait before a sample is read again; None is the end of it."""
        info = self.dataset.get_data_info(index) if hasattr(self.dataset, 'get_data_info') else {}
        what = f'{info.get("img_path", f"sample {index}")}: {error}'
        if pause is None:
            raise TrainingError(
                f'{what}, also {sum(PAUSES):g} s later: see to the disk, then go on with --resume'
            )
        warnings.warn(f'{what}; read again in {pause:g} s', stacklevel=2)
        time.sleep(pause)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not there yet, as it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # what hooks set, such as mmpretrain's SwitchRecipeHook the pipeline, is of the data set
        if name in ('dataset', 'seed'):
            super().__setattr__(name, value)
        else:
            setattr(self.dataset, name, value)


def seed_generators(*numbers: int, gpus: bool = False) -> None:
    """Seed the generators of Python, NumPy and PyTorch by some numbers, those of GPUs only if asked for."""
    python, numpy, torch_seed = np.random.SeedSequence(numbers).generate_state(3).tolist()
    random.seed(python)
    np.random.seed(numpy)
    (torch if gpus else torch.default_generator).manual_seed(torch_seed)


def generator_states() -> dict[str, Any]:
    """States of the generators of Python, NumPy and PyTorch on the CPU, as numbers and tensors."""
    kind, keys, *rest = np.random.get_state()
    return dict(
        python=random.getstate(),
        numpy=(kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        torch=torch.get_rng_state(),
    )


def set_generator_states(states: dict[str, Any]) -> None:
    """Set what :func:`generator_states` has given."""
    version, numbers, gauss = states['python']
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = states['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states['torch'])


class _States(Hook):
    """Puts into each checkpoint what a run goes on from inside an epoch, and takes it out again."""

    def __init__(self, loop: ExactTrainLoop) -> None:
        self.loop = loop
        self.loaded: list[dict] | None = None  # of each rank
        self.gathered: list[dict] | None = None

    def before_saving(self, runner: Runner) -> None:
        """Gather, as MMEngine writes a checkpoint, and tells hooks of it, in the first process alone."""
        states = generator_states()
        if torch.cuda.is_available():
            states['cuda'] = torch.cuda.get_rng_state()
        states['gradients'] = self._accumulated(runner)
        # batch norms of the other processes have seen other images than the saved ones
        buffers = bare_model(runner.model).named_buffers() if get_rank() else ()
        states['buffers'] = {name: buffer.cpu() for name, buffer in buffers}
        self.gathered = all_gather_object(states)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if get_world_size() == 1:
            self.before_saving(runner)
        if self.gathered is not None:
            checkpoint['message_hub'][STATES], self.gathered = self.gathered, None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.loaded = checkpoint.get('message_hub', {}).get(STATES)

    def before_train(self, runner: Runner) -> None:
        if self.loop.iter == 0:
            return
        own, model = self._own() or {}, bare_model(runner.model)
        for name, gradient in own.get('gradients', {}).items():
            parameter = model.get_parameter(name)
            parameter.grad = gradient.to(parameter.device, parameter.dtype)
        for name, buffer in own.get('buffers', {}).items():
            model.get_buffer(name).copy_(buffer)
        self.loop.go_on()

    def restore(self) -> None:
        """Set the generators as they were after the last batch."""
        states = self._own()
        if states is None:
            if self.loop.done:
                print_log(
                    'The checkpoint was written inside an epoch, without the states of the generators or '
                    f'by another number of processes than {get_world_size()}: the run goes on after its '
                    'last batch, but not to the same weights as one that was never cut.',
                    logger='current',
                    level=logging.WARNING,
                )
            return
        set_generator_states(states)
        if 'cuda' in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states['cuda'].cpu())
        self.loaded = None

    def _own(self) -> dict | None:
        """This rank's."""
        fits = self.loaded is not None and len(self.loaded) == get_world_size()
        return self.loaded[get_rank()] if fits else None

    @staticmethod
    def _accumulated(runner: Runner) -> dict[str, torch.Tensor]:
        """Gradients between two updates of the weights, which has none where each batch is one."""
        wrapper: Any = runner.optim_wrapper
        if wrapper._inner_count % wrapper._accumulative_counts == 0:
            return {}
        named = bare_model(runner.model).named_parameters()
        return {name: p.grad.cpu() for name, p in named if p.grad is not None}
