"""How long the models of the bench take for an image, measured in turns; and what they cost by counting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ...models.complexity import count_operations
from ...paths import share
from ..runner import read_config
from .experiments import Experiment
from .hooks import parameters
from .machine import commit, describe_machine

REPEATS = 15


def measure(experiments: Sequence[Experiment], say: Callable = print) -> dict:
    """Measure models with random weights, which take the time that trained ones take.

    They take :data:`REPEATS` turns in this one process, so that whatever else the machine does meets them
    all. A turn is two steps, the second of which is timed: the first finds caches and heap as another model
    left them.

    Args:
        experiments (Sequence[Experiment]): Whose models.
        say (Callable): What tells the user of the progress. Defaults to ``print``.

    Returns:
        dict: ``machine``, ``commit``, ``repeats`` and ``models``: of each experiment the median and the
        range in ``milliseconds`` for one image, ``parameters``, ``multiply_adds``, operations of ``scans``.
    """
    models = {experiment.name: _build(experiment) for experiment in experiments}
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    inputs, seconds = {}, {name: [] for name in models}
    for experiment in experiments:
        side = experiment.data.size
        inputs[experiment.name] = torch.randn(1, 3, side, side, device=device)
        models[experiment.name].to(device)
    for turn in range(REPEATS):
        for name, model in models.items():
            _step(model, inputs[name])
            seconds[name].append(_step(model, inputs[name]))
        say(f'turn {turn + 1} of {REPEATS}')
    found = {}
    for name, model in models.items():
        adds, scans = count_operations(model, inputs[name].shape)
        times = [1000 * each for each in seconds[name]]
        found[name] = dict(
            milliseconds=round(statistics.median(times), 2),
            range=[round(min(times), 2), round(max(times), 2)],
            parameters=parameters(model),
            multiply_adds=adds,
            scans=scans,
        )
    return dict(machine=describe_machine(), commit=commit(), repeats=REPEATS, models=found)


def _build(experiment: Experiment) -> nn.Module:
    cfg = read_config(str(share() / experiment.config))
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval()


def _step(model: nn.Module, image: torch.Tensor) -> float:
    """Seconds for one image."""
    with torch.inference_mode():
        start = time.perf_counter()
        model(image, mode='predict')  # whole: to classes, and of a segmenter at the size of the image
        if image.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start
