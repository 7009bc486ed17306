"""Which paths a trained RSMamba listens to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OptionError


class PathGates:
    """What the gates of a model weighed its paths with, in its last forward.

    Args:
        orders (Sequence[str]): Names of the K scan orders.
        blocks (int): How many blocks the model has.

    Attributes:
        orders (list[str]): As given.
        weights (np.ndarray): ``(B, blocks, K)`` float32, each row of K sums to one; several draws of the
            shuffled orders are averaged. B is 0 before a forward.
    """

    def __init__(self, orders: Sequence[str], blocks: int) -> None:
        self.orders, self._blocks = list(orders), blocks
        self._seen: list[np.ndarray] = []

    @property
    def weights(self) -> np.ndarray:
        if not self._seen:
            return np.empty((0, self._blocks, len(self.orders)), np.float32)
        batch = len(self._seen[0])
        drawn = np.stack(self._seen).reshape(-1, self._blocks, batch, len(self.orders))
        return drawn.mean(0).transpose(1, 0, 2)

    def _begin(self, *_) -> None:
        self._seen = []

    def _keep(self, gate: nn.Module, inputs: tuple, output: Tensor) -> None:
        self._seen.append(output.detach().float().cpu().numpy())


@contextmanager
def record_gates(model: nn.Module) -> Iterator[PathGates]:
    """Record what the gates of a model's :class:`~rsmamba_mm.models.RSMamba` weigh its paths with.

    ``g = softmax(W_g · concat_k(mean_L(o_k)))`` (RSMamba, arXiv:2403.19654), for each image and block.
    Where all paths have an equal say, each has 1 / K.

    Args:
        model (nn.Module): A classifier or the backbone itself.

    Yields:
        PathGates: Filled as the model runs inside the ``with`` block.

    Raises:
        OptionError: If the model has no gates, as one with a single path or with the mean of its paths.
    """
    backbone: Any = getattr(model, 'backbone', model)
    layers = getattr(backbone, 'gate_layers', None)
    if not layers:
        raise OptionError(
            f'{type(backbone).__name__} has no gates: RSMamba has, with several paths merged by the gate'
        )
    gates = PathGates(backbone.orders, len(layers))
    handles = [layer.register_forward_hook(gates._keep) for layer in layers]
    handles.append(backbone.register_forward_pre_hook(gates._begin))
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


def gates_of(model: Any, batches: Iterable) -> tuple[np.ndarray, list[str]]:
    """The weights of the paths over many images; see :func:`record_gates`.

    Args:
        model (nn.Module): A classifier or segmenter with such a backbone, in evaluation mode.
        batches (Iterable): What its ``test_step`` takes, such as a data loader of MMEngine.

    Returns:
        tuple[np.ndarray, list[str]]: ``(images, blocks, K)`` float32, and the names of the K scan orders.

    Raises:
        OptionError: If the model has no gates.
    """
    seen = []
    with record_gates(model) as gates, torch.no_grad():
        for batch in batches:
            model.test_step(batch)
            seen.append(gates.weights)
    return np.concatenate(seen) if seen else gates.weights, gates.orders
