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
from ..numerics import compute_dtype, is_exporting, without_autocast
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
    if is_exporting():
        state, y = _exported_steps(state, delta, u, B, C, A)
    else:
        outputs = []
        for t in range(delta.shape[2]):
            state, out = _step(state, delta[:, :, t], u[:, :, t], B[:, :, t], C[:, :, t], A)
            outputs.append(out)
        y = torch.stack(outputs, 2) if outputs else delta  # as empty as the output
    if s.D is not None:
        y = y + u * s.D.to(dtype).unsqueeze(-2)
    if orders is not None:
        y = take(y, invert_orders(orders))
    return y.to(s.u.dtype), state


def _step(
    state: Tensor, delta: Tensor, u: Tensor, B: Tensor, C: Tensor, A: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of all sequences: delta and u ``(B, K, E)``, B and C ``(B, K, N)``."""
    step = delta[..., None]
    state = torch.exp(step * A) * state + step * B[..., None, :] * u[..., None]
    return state, (state * C[..., None, :]).sum(-1)


def _exported_steps(
    state: Tensor, delta: Tensor, u: Tensor, B: Tensor, C: Tensor, A: Tensor
) -> tuple[Tensor, Tensor]:
    """All steps as one node of an exported graph, whatever the length.

    A is carried on from step to step: not every runtime lets a step see what is around the node.
    """
    from torch._higher_order_ops.scan import scan as scan_node  # PyTorch before 2.6 has none

    def step(carried: tuple[Tensor, Tensor], inputs: tuple[Tensor, ...]):
        state, A = carried
        delta, u, B, C = inputs
        state, y = _step(state, delta, u, B, C, A)
        return (state, A.clone()), y

    sequences = tuple(x.movedim(2, 0).contiguous() for x in (delta, u.expand_as(delta), B, C))
    (state, _), y = scan_node(step, (state, A.clone()), sequences)
    return state, y.movedim(0, 2)


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
