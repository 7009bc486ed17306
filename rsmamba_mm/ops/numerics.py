"""What the operators and their backends agree on about numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor


def without_autocast(function: Callable) -> Callable:
    """Let a function compute as its arguments' dtypes say, whatever autocast is on (decorator).

    Autocast reaches inside an operator: products of float32 tensors would be rounded to half precision
    there, though float32 is promised. The device is that of the first argument that lies on one.
    """

    @wraps(function)
    def run(*args, **kwargs):
        device = next(x.device for x in (*args, *kwargs.values()) if hasattr(x, 'device')).type
        # asked first, so that a trace without autocast shows no switch
        if device == 'meta' or not torch.is_autocast_enabled(device):
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return run


def operator_body(function: Callable) -> Callable:
    """What is true of every operator's body (decorator): no autocast, and results that are contiguous.

    The fakes promise contiguous results, and compiled code relies on it.
    """
    exact = without_autocast(function)

    @wraps(function)
    def run(*args, **kwargs):
        results = exact(*args, **kwargs)
        if isinstance(results, Tensor):
            return results.contiguous()
        return tuple(x.contiguous() for x in results)

    return run


def is_exporting() -> bool:
    """Whether ``torch.export`` traces; PyTorch says so since 2.7, and before that nothing is exported."""
    asked = getattr(torch.compiler, 'is_exporting', None)
    return asked is not None and asked()


def compute_dtype(x: Tensor) -> torch.dtype:
    """Half precision is computed in float32; float32 and float64 stay."""
    return torch.promote_types(x.dtype, torch.float32)


def reduce_to(grad: Tensor, tensor: Tensor) -> Tensor:
    """A gradient in its tensor's dtype, summed over the axes along which the orders shared the tensor."""
    return grad.sum_to_size(tensor.shape).to(tensor.dtype)


def rows(x: Tensor) -> tuple[Tensor, int]:
    """Rows of channels one after the other, and the distance between two; a slice of a projection is
    taken as it is, anything else is copied."""
    row = x.stride(-2)
    regular = x.stride(-1) == 1 and row >= x.shape[-1]
    for dim in range(x.dim() - 3, -1, -1):
        regular = regular and x.stride(dim) == x.stride(dim + 1) * x.shape[dim + 1]
    return (x, row) if regular else (x.contiguous(), x.shape[-1])
