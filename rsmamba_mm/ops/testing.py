"""The judge of the scan's backends: inputs by shape, the truth in float64, the worst relative error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .backends import use_backend
from .backends.judge import relative_errors, scan_inputs
from .scan import multi_order_scan

__all__ = ['exact_scan', 'relative_errors', 'run_scan', 'scan_inputs']


def run_scan(
    backend: str,
    inputs: Mapping[str, Tensor | None],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    last_weight: float = 1.0,
    orders: Tensor | None = None,
    delta_softplus: bool = False,
) -> dict[str, Tensor]:
    """Output, last state and the gradients of a scalar of both.

    Args:
        backend (str): Name of the backend.
        inputs (Mapping[str, Tensor | None]): As :func:`scan_inputs` gives them.
        device (str | torch.device, optional): Defaults to that of the inputs.
        dtype (torch.dtype, optional): Defaults to those of the inputs.
        last_weight (float): Weight of the last state's entries in the scalar; 0 leaves them out.
            Defaults to 1.
        orders (Tensor, optional): ``(K, L)``. Defaults to None.
        delta_softplus (bool): Whether softplus follows. Defaults to False.

    Returns:
        dict[str, Tensor]: ``y``, ``last``, and under ``d`` and its name the gradient of each input.
    """
    leaves = {
        name: x.detach().to(device, dtype or x.dtype).requires_grad_()
        for name, x in inputs.items()
        if x is not None
    }
    orders = None if orders is None else orders.to(device)
    with use_backend(backend):
        y, last = multi_order_scan(
            **leaves, orders=orders, delta_softplus=delta_softplus, return_last_state=True
        )
    # bounded weights, so that no gradient leaves the range of half precision
    weights = torch.arange(y.numel(), dtype=torch.float64, device=y.device).cos().view(y.shape)
    total = (y.double() * weights).sum()
    total = total + last_weight * last.double().sum() if last_weight else total
    gradients = torch.autograd.grad(total, tuple(leaves.values()))
    named = {f'd{name}': gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return dict(y=y.detach(), last=last.detach(), **named)


def exact_scan(inputs: Mapping[str, Tensor | None], **options) -> dict[str, Tensor]:
    """As :func:`run_scan`, by the reference in float64 on the CPU."""
    return run_scan('reference', inputs, device='cpu', dtype=torch.float64, **options)
