"""The judge of all other backends: the recurrence written down step by step.

Plain differentiable PyTorch in the dtype of its input (float64 included), with nothing saved on
memory or time. It is called directly rather than through an operator of its own, so that autograd
differentiates the formula itself, twice if asked.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..numerics import without_autocast
from ..orders import invert_orders, take


@without_autocast
def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_weight: Tensor | None,
    orders: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """See :func:`rsmamba_mm.ops.multi_order_scan`; returns the output and the last state."""
    dtype = compute_dtype(u)
    u_, delta_, B_, C_ = (take(x, orders).to(dtype) for x in (u, delta, B, C))
    A = A.to(dtype)
    if delta_weight is not None:
        delta_ = delta_ @ delta_weight.to(dtype).mT
    if delta_bias is not None:
        delta_ = delta_ + delta_bias.to(dtype).unsqueeze(-2)
    if delta_softplus:
        delta_ = F.softplus(delta_)
    state = delta_.new_zeros(*delta_.shape[:2], *A.shape[-2:])  # (B, K, E, N)
    outputs = []
    for t in range(delta_.shape[2]):
        step = delta_[:, :, t, :, None]
        drive = step * B_[:, :, t, None, :] * u_[:, :, t, :, None]
        state = torch.exp(step * A) * state + drive
        outputs.append((state * C_[:, :, t, None, :]).sum(-1))
    y = torch.stack(outputs, 2) if outputs else torch.zeros_like(delta_)
    if D is not None:
        y = y + u_ * D.to(dtype).unsqueeze(-2)
    if orders is not None:
        y = take(y, invert_orders(orders))
    return y.to(u.dtype), state


@without_autocast
def conv(x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor, activation: bool) -> Tensor:
    """See :func:`rsmamba_mm.ops.multi_order_conv1d`."""
    dtype = compute_dtype(x)
    taps = weight.shape[-1]
    read = F.pad(take(x[:, None], orders).to(dtype), (0, 0, taps - 1, 0))
    length = orders.shape[1]
    y = sum(read[:, :, j : j + length] * weight[:, j].to(dtype) for j in range(taps))
    if bias is not None:
        y = y + bias.to(dtype)
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


def compute_dtype(x: Tensor) -> torch.dtype:
    """Half precision is computed in float32; float32 and float64 stay."""
    return torch.promote_types(x.dtype, torch.float32)


def rows(x: Tensor) -> tuple[Tensor, int]:
    """Rows of channels one after the other, and the distance between two; a slice of a projection is
    taken as it is, anything else is copied."""
    row = x.stride(-2)
    regular = x.stride(-1) == 1 and row >= x.shape[-1]
    for dim in range(x.dim() - 3, -1, -1):
        regular = regular and x.stride(dim) == x.stride(dim + 1) * x.shape[dim + 1]
    return (x, row) if regular else (x.contiguous(), x.shape[-1])


def reduce_to(grad: Tensor, tensor: Tensor) -> Tensor:
    """A gradient in its tensor's dtype, summed over the axes along which the orders shared the tensor."""
    return grad.sum_to_size(tensor.shape).to(tensor.dtype)
