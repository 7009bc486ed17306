"""The judge of all other backends: the recurrence written down step by step.

Plain differentiable PyTorch in the dtype of its input (float64 included), with nothing saved on
memory or time. It is called directly rather than through an operator of its own, so that autograd
differentiates the formula itself, twice if asked.
"""

from __future__ import annotations

import warnings
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import numerics
from ..numerics import compute_dtype, without_autocast
from ..orders import invert_orders, take
from .contract import ScanInputs


@without_autocast
def scan(s: ScanInputs) -> tuple[Tensor, Tensor]:
    """See :func:`rsmamba_mm.ops.multi_order_scan`; returns output and last state ``(B, K, E, N)``."""
    dtype, orders = s.dtype, s.orders
    u, delta, B, C = (take(x, orders).to(dtype) for x in (s.u, s.delta, s.B, s.C))
    A = s.A.to(dtype)
    if s.delta_weight is not None:
        delta = delta @ s.delta_weight.to(dtype).mT
    if s.delta_bias is not None:
        delta = delta + s.delta_bias.to(dtype).unsqueeze(-2)
    if s.delta_softplus:
        delta = F.softplus(delta)
    state = delta.new_zeros(*delta.shape[:2], *A.shape[-2:])  # (B, K, E, N)
    outputs = []
    for t in range(delta.shape[2]):
        step = delta[:, :, t, :, None]
        drive = step * B[:, :, t, None, :] * u[:, :, t, :, None]
        state = torch.exp(step * A) * state + drive
        outputs.append((state * C[:, :, t, None, :]).sum(-1))
    y = torch.stack(outputs, 2) if outputs else torch.zeros_like(delta)
    if s.D is not None:
        y = y + u * s.D.to(dtype).unsqueeze(-2)
    if orders is not None:
        y = take(y, invert_orders(orders))
    return y.to(s.u.dtype), state


@without_autocast
def conv(x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor, activation: bool) -> Tensor:
    """See :func:`rsmamba_mm.ops.multi_order_conv1d`."""
    dtype = compute_dtype(x)
    taps = weight.shape[-1]
    read = F.pad(take(x[:, None], orders).to(dtype), (0, 0, taps - 1, 0))
    length = orders.shape[1]
    # shared, or of each order: either way it is the same at each step
    steps = (read[:, :, j : j + length] * weight[..., None, :, j].to(dtype) for j in range(taps))
    y = reduce(add, steps)
    if bias is not None:
        y = y + bias[..., None, :].to(dtype)
    if activation:
        y = F.silu(y)
    return take(y, invert_orders(orders)).to(x.dtype)


@without_autocast
def pool(y: Tensor, z: Tensor) -> Tensor:
    """See :func:`rsmamba_mm.ops.pool_paths`."""
    dtype = compute_dtype(y)
    return (y.to(dtype) * F.silu(z.to(dtype)).unsqueeze(1)).mean(2).to(y.dtype)


@without_autocast
def merge(y: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    """See :func:`rsmamba_mm.ops.merge_paths`."""
    dtype = compute_dtype(y)
    merged = torch.einsum('bk,bkle->ble', weights.to(dtype), y.to(dtype))
    return (merged * F.silu(z.to(dtype))).to(y.dtype)


def __getattr__(name: str):
    if name in ('reduce_to', 'rows'):
        warnings.warn(
            f'rsmamba_mm.ops.backends.reference.{name} has moved to rsmamba_mm.ops.numerics.{name}',
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(numerics, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
