"""Whether an exported graph gives what the model gives, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import OptionError, OutputError
from .graph import ExportedModel

TOLERANCE = 1e-4  # largest difference over the standard deviation of the outputs
ROUNDING = 10  # over the model's own error in float32: other runtimes add up in another order
CEILING = 1e-2  # whatever its own error


@dataclass
class ExportReport:
    """What an exported graph is like.

    Attributes:
        path (Path): The file.
        runtime (str): What ran it.
        difference (float): Largest difference to the model over the standard deviation of its outputs.
        rounding (float, optional): The model's own error in float32 likewise, by float64, where the
            difference is above 1e-4 and was accepted for it; None elsewhere.
        seconds (float): A batch of one in that runtime, the fastest of up to three.
        own_seconds (float): The same in PyTorch with the backend that serves here.
    """

    path: Path
    runtime: str
    difference: float
    rounding: float | None
    seconds: float
    own_seconds: float

    def __str__(self) -> str:
        beyond = ''
        if self.rounding is not None:
            beyond = (
                f' (above {TOLERANCE:.0e}, and accepted: the model itself is off by {self.rounding:.1e} in '
                'float32, against float64)'
            )
        return (
            f'{self.path}: {self.runtime}, largest difference / standard deviation {self.difference:.1e}'
            f'{beyond}; {1000 * self.seconds:.0f} ms an image, {self.seconds / self.own_seconds:.2f} of '
            f'PyTorch here ({1000 * self.own_seconds:.0f} ms)'
        )


def check(
    graph: ExportedModel, call: Callable[[np.ndarray], np.ndarray], batches: Sequence[Tensor], out: Path
) -> tuple[float, float | None]:
    """The difference of a written graph, and the rounding that it was accepted for, if any.

    Args:
        graph (ExportedModel): The model.
        call (Callable): The written graph in its runtime.
        batches (Sequence[Tensor]): Each ``(B, C, H, W)``, as it takes them.
        out (Path): The file, to be named.

    Raises:
        OutputError: If it gives anything else.
    """
    expected = [graph(images) for images in batches]
    spread = max(float(expected[-1].std()), 1e-12)
    # NumPy's maximum lets no NaN pass
    apart = [np.abs(call(x.numpy()) - y.numpy()).max() for x, y in zip(batches, expected, strict=True)]
    difference = float(np.max(apart)) / spread
    if difference <= TOLERANCE:
        return difference, None
    # a model that itself is no more exact in float32, as some are before they have learnt, may differ so
    exact = deepcopy(graph).double()
    errors = [(exact(x.double()) - y).abs().max() for x, y in zip(batches, expected, strict=True)]
    rounding = float(max(errors)) / spread
    if difference <= min(ROUNDING * rounding, CEILING):
        return difference, rounding
    raise OutputError(
        f'{out} is not written: what it gives differs from the model by {difference:.1e} standard '
        f"deviations, above {TOLERANCE:.0e} and {ROUNDING} times the model's own rounding of "
        f'{rounding:.1e}. Please report this with the config'
    )


def check_prediction(graph: ExportedModel, images: Tensor) -> None:
    """That the graph is of what the model predicts, after its own pre- and postprocessing of scores.

    Raises:
        OptionError: If the model predicts by windows of another size.
        OutputError: If it predicts by other scores.
    """
    model: Any = graph.model
    rule = getattr(model, 'test_cfg', None) or {}
    sides = tuple(images.shape[-2:])
    if rule.get('mode') == 'slide' and any(n > m for n, m in zip(sides, rule['crop_size'], strict=True)):
        raise OptionError(
            f'export: the model predicts by windows of {tuple(rule["crop_size"])}, the images are of '
            f'{sides}: export for the size of a window'
        )
    x = graph.seen(images)
    segments = hasattr(model, 'decode_head')
    samples = model.predict(x, None)
    predicted = torch.stack([s.seg_logits.data if segments else s.pred_score for s in samples])
    found = ExportedModel(model, softmax=not segments)(x)
    spread = max(float(predicted.std()), 1e-12)
    if not float((predicted - found).abs().max()) <= TOLERANCE * spread:
        raise OutputError(
            f'export: what {type(model).__name__}.predict gives is not what its tensor mode gives, of '
            'which graphs are made. Please report this with the config'
        )


def fastest(call: Callable[[], Any], times: int = 3, enough: float = 5.0) -> float:
    """Seconds of the fastest of some calls; of fewer where they take long, ``enough`` seconds together."""
    seconds: list[float] = []
    while len(seconds) < times and sum(seconds) < enough:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
