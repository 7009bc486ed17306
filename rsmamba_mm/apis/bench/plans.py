"""What there is to run, how far it is, and what it would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .experiments import Bench, Experiment
from .machine import describe_machine
from .running import WORK, missing, state


def listing(bench: Bench, experiments: Sequence[Experiment], work: Path = WORK) -> str:
    """A line for each experiment: name, data, length, and how far its runs are."""
    width = max(len(each.name) for each in experiments)
    lines = [f'{"experiment":{width}}  {"data":14}  {"images seen":>11}  {"epochs":>6}  runs']
    for each in experiments:
        lines.append(
            f'{each.name:{width}}  {each.data.name:14}  {each.images_seen:11,}  {each.epochs:6}  '
            f'{_progress(bench, each, work)}'
        )
    return '\n'.join(lines)


def dry_run(bench: Bench, experiments: Sequence[Experiment], seeds: int = 1, work: Path = WORK) -> str:
    """What would run, how long it took last time, and what is missing."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    lines = [f'here: {describe_machine()} ({device})'] if device == 'no GPU' else [f'here: {device}']
    for each in experiments:
        for seed in range(seeds):
            lines.append(f'{each.name}, seed {seed}: {_plan(bench, each, seed, work)}')
        lines += [f'  missing: {lack}' for lack in missing(each)]
    return '\n'.join(lines)


def _plan(bench: Bench, experiment: Experiment, seed: int, work: Path) -> str:
    now = state(bench, experiment, seed, work)
    if now.kept:
        folder = bench.run_folder(experiment, seed)
        return f'would not run: it is kept in {folder}, and took {_minutes(now.seconds)}'
    length = f'{experiment.epochs} epochs, {experiment.images_seen:,} images'
    if now.epoch:
        rest = now.seconds / now.epoch * (experiment.epochs - now.epoch)
        return (
            f'would go on after epoch {now.epoch} of {length}; these took {_minutes(now.seconds)}, the '
            f'rest about {_minutes(rest)}'
        )
    earlier = state(bench, experiment, 0, work)
    took = f'seed 0 took {_minutes(earlier.seconds)}' if earlier.kept else 'it has not run before'
    return f'would run {length}; {took}'


def _progress(bench: Bench, experiment: Experiment, work: Path) -> str:
    kept, seed = [], 0
    while (now := state(bench, experiment, seed, work)).kept:
        kept.append(now.seconds)
        seed += 1
    said = [f'{len(kept)} kept, {_minutes(sum(kept) / len(kept))} each'] if kept else []
    if now.epoch:
        said.append(f'seed {seed} at epoch {now.epoch}')
    return ', '.join(said) or 'none'


def _minutes(seconds: float) -> str:
    return f'{seconds / 60:.0f} min' if seconds >= 90 else f'{seconds:.0f} s'
