"""Running experiments: by ``tools/train.py``, each in a process of its own on a config that is derived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...errors import OptionError, UserError
from ...paths import share
from ...zoo import published_files
from ..runner import prepare_test, read_config
from .experiments import Bench, Experiment
from .hooks import SELECTED, BenchHook
from .journal import Journal
from .runs import RUN, read_run, record_run

WORK = Path('work_dirs/bench')
PRETRAINED = 'pretrained.pth'
LOG = 'train.log'
DERIVED = """\
# written by tools/reproduce.py
_base_ = {base!r}

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'rsmamba_mm.apis.bench.hooks'])
custom_hooks = [*_base_.custom_hooks, *{hooks!r}]
{settings}"""
PRETRAINING = """\
# written by tools/reproduce.py
_base_ = {base!r}

randomness = dict(seed={seed})
train_cfg = dict(max_epochs={epochs})
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
custom_imports = dict(imports=[*_base_.custom_imports.imports, 'rsmamba_mm.apis.bench.hooks'])
custom_hooks = [*_base_.custom_hooks, dict(type='PretrainingHook')]
"""


class State(NamedTuple):
    """How far a run is.

    Attributes:
        kept (bool): Whether it is finished and its figures are kept.
        epoch (int): Epochs that are trained, of an unfinished one.
        seconds (float): What they took.
    """

    kept: bool
    epoch: int
    seconds: float


def state(bench: Bench, experiment: Experiment, seed: int, work: Path = WORK) -> State:
    """How far a run is: by what is kept, else by its folder of work."""
    folder = bench.run_folder(experiment, seed)
    if (folder / RUN).is_file():
        run = read_run(folder)
        return State(True, run.about['epochs'], run.about['seconds'])
    rows = Journal(work_folder(experiment, seed, work)).rows
    return State(False, rows[-1]['epoch'], rows[-1]['seconds']) if rows else State(False, 0, 0.0)


def work_folder(experiment: Experiment, seed: int, work: Path = WORK) -> Path:
    """Where a run has its checkpoints and logs."""
    return work / experiment.name / f'seed{seed}'


def missing(experiment: Experiment) -> list[str]:
    """What an experiment lacks on this machine, and what to do."""
    lacks = []
    if not experiment.data.folder.is_dir():
        lacks.append(
            f'data: {experiment.data.folder} is not there: {experiment.data.fetch}. Where it lies '
            f'elsewhere: RSMAMBA_DATA=FOLDER, that has {experiment.data.name}'
        )
    if experiment.gpu and not torch.cuda.is_available():
        lacks.append('GPU: it is too large for a CPU, and PyTorch sees no GPU here')
    return lacks


def run_experiments(
    bench: Bench,
    experiments: Sequence[Experiment],
    seeds: int = 1,
    budget: float | None = None,
    work: Path = WORK,
    say=print,
) -> bool:
    """Run experiments and keep their figures; those that are kept already are left alone.

    Args:
        bench (Bench): All of them.
        experiments (Sequence[Experiment]): Those to run.
        seeds (int): Runs of each, with the seeds 0, 1, …. Defaults to 1.
        budget (float, optional): Minutes after which to stop at the end of an epoch. Defaults to None.
        work (Path): Folder for checkpoints and logs. Defaults to ``work_dirs/bench``.
        say (Callable): What tells the user of the progress. Defaults to ``print``.

    Returns:
        bool: Whether all are finished; otherwise the next call goes on.

    Raises:
        UserError: If data is missing, or a training fails.
    """
    deadline = None if budget is None else time.time() + 60 * budget
    for experiment in experiments:
        lacks = missing(experiment)
        if lacks:
            raise OptionError(f'{experiment.name} cannot run: {"; ".join(lacks)}')
    for experiment in experiments:
        for seed in range(seeds):
            if state(bench, experiment, seed, work).kept:
                say(f'{experiment.name}, seed {seed}: kept in {bench.run_folder(experiment, seed)}')
            elif not _run(bench, experiment, seed, deadline, work, say):
                return False
    return True


def _run(bench: Bench, experiment: Experiment, seed: int, deadline: float | None, work: Path, say) -> bool:
    """One run, from where it is to its end, or to the deadline."""
    folder, name = work_folder(experiment, seed, work), f'{experiment.name}, seed {seed}'
    if experiment.weights_of:
        say(f'{name}: tested again, kept in {_retest(bench, experiment, seed, work)}')
        return True
    if experiment.pretraining and not _pretrain(experiment, seed, deadline, work, say):
        return False
    before = state(bench, experiment, seed, work)
    if deadline is not None and before.epoch < experiment.epochs:
        needed = before.seconds / before.epoch if before.epoch else 0
        if time.time() + needed > deadline:
            say(f'{name}: no time left for an epoch ({needed:.0f} s): call again to go on')
            return False
    config = derive_config(experiment, seed, folder, work)
    at = f'from epoch {before.epoch} of' if before.epoch else 'for'
    length = f'{experiment.epochs} epochs, {experiment.images_seen:,} images'
    say(f'{name}: training {at} {length}; log: {folder / LOG}')
    train(config, folder, deadline)
    journal = Journal(folder)
    if experiment.pretraining:
        before_it = pretraining_folder(experiment, seed, work)
        journal.add_facts(pretraining=pretraining_of(experiment, Journal(before_it)))
    last = journal.rows[-1]
    if last['epoch'] < experiment.epochs or last['test'] is None:
        say(f'{name}: stopped at epoch {last["epoch"]} of {experiment.epochs}: call again to go on')
        return False
    kept = record_run(bench, experiment, seed, journal)
    say(f'{name}: finished in {last["seconds"]:.0f} s, kept in {kept}')
    return True


def _retest(bench: Bench, experiment: Experiment, seed: int, work: Path) -> Path:
    """Test the weights of another experiment, or those that the package carries of it."""
    before = work_folder(bench.experiments[experiment.weights_of], seed, work)
    if not (weights := before / SELECTED).is_file():
        raise OptionError(
            f'{experiment.name} tests the weights of {experiment.weights_of}, seed {seed}, which are not '
            f'here: {weights}. They are left by its training'
        )
    if experiment.carried:
        weights = Path(published_files(experiment.carried)[1])
    folder = work_folder(experiment, seed, work)
    config = derive_config(experiment, seed, folder, work)
    runner = prepare_test(Namespace(config=str(config), checkpoint=str(weights), work_dir=str(folder)))
    runner.load_or_resume()
    hook = next(hook for hook in runner.hooks if isinstance(hook, BenchHook))
    hook.judge_again(runner, Journal(before))
    return record_run(bench, experiment, seed, hook.journal)


def pretraining_folder(experiment: Experiment, seed: int, work: Path = WORK) -> Path:
    """Where the pre-training of an experiment is: one for all that start from the same."""
    name = f'{Path(experiment.pretraining).stem}-{experiment.pretraining_epochs}-epochs'
    return work / 'pretraining' / name / f'seed{seed}'


def pretraining_of(experiment: Experiment, journal: Journal) -> dict:
    """What is kept of a pre-training."""
    last = journal.rows[-1]
    kept = {key: last[key] for key in ('images_seen', 'seconds', 'loss')}
    return dict(config=experiment.pretraining, epochs=last['epoch'], **kept)


def _pretrain(experiment: Experiment, seed: int, deadline: float | None, work: Path, say) -> bool:
    """The pre-training of an experiment, from where it is to its end, or to the deadline."""
    folder = pretraining_folder(experiment, seed, work)
    if (folder / PRETRAINED).is_file():
        return True
    rows, length = Journal(folder).rows, experiment.pretraining_epochs
    done = rows[-1]['epoch'] if rows else 0
    needed = rows[-1]['seconds'] / done if done else 0
    name = f'{experiment.name}, seed {seed}'
    if deadline is not None and done < length and time.time() + needed > deadline:
        say(f'{name}: no time left for an epoch of its pre-training ({needed:.0f} s): call again to go on')
        return False
    config = _written(
        folder, PRETRAINING, base=_base(experiment, experiment.pretraining), seed=seed, epochs=length
    )
    say(f'{name}: pre-training from epoch {done} of {length}; log: {folder / LOG}')
    train(config, folder, deadline)
    rows = Journal(folder).rows
    if rows[-1]['epoch'] < length:
        say(f'{name}: stopped at epoch {rows[-1]["epoch"]} of {length} of its pre-training: call again')
        return False
    os.replace(folder / f'epoch_{length}.pth', folder / PRETRAINED)
    return True


def _base(experiment: Experiment, config: str) -> Path:
    base = share() / config
    if not base.is_file():
        raise OptionError(f'{experiment.name}: config not found: {base}')
    return base


def derive_config(experiment: Experiment, seed: int, folder: Path, work: Path = WORK) -> Path:
    """Write the config that an experiment's is run by.

    Args:
        experiment (Experiment): The experiment.
        seed (int): Its seed.
        folder (Path): Folder of work for it.
        work (Path): Folder of all, with its pre-training. Defaults to ``work_dirs/bench``.

    Returns:
        Path: The config.

    Raises:
        OptionError: If the folder has a run by another one.
    """
    base = _base(experiment, experiment.config)
    settings = dict(
        randomness=dict(seed=seed),
        train_cfg=dict(type='ExactTrainLoop', max_epochs=experiment.epochs),
        default_hooks=dict(checkpoint=dict(interval=1, max_keep_ckpts=2, save_best=None)),
    )
    if 'held_out' not in experiment.data.images:
        _merge(settings, dict(train_cfg=dict(val_interval=experiment.epochs)))
    for options in (experiment.data.options, experiment.options):
        _merge(settings, deepcopy(options))
    hooks = settings.pop('custom_hooks', [])
    if experiment.pretraining:
        checkpoint = str((pretraining_folder(experiment, seed, work) / PRETRAINED).resolve())
        start: dict[str, Any] = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
        if 'init_cfg' in read_config(str(base)).model.backbone:
            start['_delete_'] = True  # which MMEngine would leave in where there is nothing to delete
        _merge(settings, dict(model=dict(backbone=dict(init_cfg=start))))
    hook = dict(
        type='BenchHook',
        images=dict(experiment.data.images),
        metric=experiment.data.metrics[0],
        left_out=list(experiment.data.left_out),
    )
    return _written(
        folder,
        DERIVED,
        base=base,
        hooks=[*hooks, hook],
        settings=''.join(f'{name} = {value!r}\n' for name, value in settings.items()),
    )


def _merge(settings: dict, more: Mapping) -> None:
    """Put nested settings into others, in place."""
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(settings.get(name), dict):
            _merge(settings[name], value)
        else:
            settings[name] = value


def _written(folder: Path, template: str, base: Path, **settings) -> Path:
    """A derived config beside its folder of work, for MMEngine writes the whole config into it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix('.py')
    text = template.format(base=os.path.relpath(base, path.parent), **settings)
    if path.is_file() and path.read_text() != text and Journal(folder).rows:
        raise OptionError(
            f'{folder} has a run of other settings ({path.name} beside it differs), which cannot be '
            'gone on with: remove the folder to begin anew'
        )
    path.write_text(text)
    return path


def train(config: Path, folder: Path, deadline: float | None = None) -> None:
    """Train by a derived config, from the last checkpoint of its folder, in a process of its own.

    Args:
        config (Path): The config.
        folder (Path): Folder of work.
        deadline (float, optional): When to stop. Defaults to None.

    Raises:
        UserError: If it fails; the message has the end of its log.
    """
    command = [sys.executable, str(share() / 'tools/train.py'), str(config), '--resume']
    command += ['--work-dir', str(folder)]
    if deadline is not None:
        command += ['--cfg-options', f'deadline={deadline}']
    log = folder / LOG
    with log.open('a') as file, _ended_with_this_process():
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code:
        raise UserError(f'{log} ends with:\n' + '\n'.join(log.read_text().splitlines()[-8:]))


@contextmanager
def _ended_with_this_process() -> Iterator[None]:
    """Let the signal that ends a process be raised, so that the training is ended too."""

    def end(*_) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread, where signals do not come
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
