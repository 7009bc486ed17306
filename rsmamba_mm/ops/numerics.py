"""What the operators and their backends agree on about numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor


def without_autocast(function: Callable) -> Callable:
    """Let a function compute as its arguments' dtypes say, whatever autocast is on (decorator).

    Autocast reaches inside an operator: products of float32 tensors would be rounded to half precision
    there, though float32 is promised.
    """

    @wraps(function)
    def run(*args, **kwargs):
        tensors = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        device = next(tensors).device.type
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
