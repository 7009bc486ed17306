"""The ``torch`` backend: vectorised PyTorch, no compiler needed, any device.

The scan walks the sequence in chunks of about ``sqrt(L)`` steps. Within a chunk everything but the
recurrence itself is one vectorised call over (steps, batch, orders, states, channels); the recurrence
is one fused multiply-add per step. Only the state at the start of each chunk is kept for the
backward, which recomputes the others chunk by chunk: memory is O(sqrt(L)), not O(L), times the state.

All tensors stand in token layout (see :mod:`rsmamba_mm.ops.scan`); a chunk is read and written through
the orders' indices. Channels lie innermost, states next: ``(T, B, K, N, E)``, which vectorises best.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..orders import invert_orders, take
from .reference import compute_dtype, reduce_to


def chunk_length(length: int) -> int:
    """Steps between two kept states."""
    return max(1, math.isqrt(length))


class _ChunkReader:
    """Reads chunks of a scan's inputs in time order, as ``(T, B, K, …)`` in the computing dtype."""

    def __init__(self, u, delta, A, B, C, delta_bias, delta_weight, orders, delta_softplus):
        self.u, self.delta, self.B, self.C, self.orders = u, delta, B, C, orders
        self.dtype = compute_dtype(u)
        self.softplus = delta_softplus
        self.bias = None if delta_bias is None else delta_bias.to(self.dtype).unsqueeze(-2)
        self.weight = None if delta_weight is None else delta_weight.to(self.dtype)
        batch, paths, self.length = delta.shape[:3]
        channels = A.shape[-2]
        self.output_shape = (batch, paths, self.length, channels)
        # one sequence shared by the orders is expanded only as it is read
        self.A = A.to(self.dtype).mT.expand(paths, -1, -1).contiguous()  # (K, N, E)
        self.step = chunk_length(self.length)
        self.starts = range(0, self.length, self.step)
        self.state_shape = (batch, paths, A.shape[-1], channels)
        self.buffers: dict[str, Tensor] = {}

    def tokens(self, start: int) -> Tensor | None:
        """The tokens that a chunk reads, ``(K, T)``."""
        return None if self.orders is None else self.orders[:, start : start + self.step]

    def read(self, x: Tensor, start: int) -> Tensor:
        """A chunk of ``(B, K, L, X)`` as ``(T, B, K, X)``."""
        tokens = self.tokens(start)
        chunk = x[:, :, start : start + self.step] if tokens is None else take(x, tokens)
        return chunk.permute(2, 0, 1, 3).to(self.dtype)

    def raw_delta(self, start: int) -> Tensor:
        chunk = self.read(self.delta, start)
        if self.weight is not None:
            pattern = 'tbkr,er->tbke' if self.weight.dim() == 2 else 'tbkr,ker->tbke'
            chunk = torch.einsum(pattern, chunk, self.weight)
        return chunk if self.bias is None else chunk + self.bias.squeeze(-2)

    def positive(self, raw_delta: Tensor) -> Tensor:
        return F.softplus(raw_delta) if self.softplus else raw_delta

    def buffer(self, name: str, steps: int) -> Tensor:
        """A reused ``(T, B, K, N, E)`` workspace."""
        if name not in self.buffers:
            size = (min(self.step, self.length), *self.state_shape)
            self.buffers[name] = torch.empty(size, dtype=self.dtype, device=self.delta.device)
        return self.buffers[name][:steps]

    def run(self, state: Tensor, u: Tensor, delta: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """Decays and states of a chunk, ``(T, B, K, N, E)`` each, from the state before it."""
        decay = self.buffer('decay', len(delta))
        states = self.buffer('states', len(delta))
        torch.mul(delta.unsqueeze(-2), self.A, out=decay).exp_()
        torch.mul((delta * u).unsqueeze(-2), B.unsqueeze(-1), out=states)
        for a, h in zip(decay.unbind(), states.unbind(), strict=True):
            state = h.addcmul_(a, state)
        return decay, states


def scan_forward(
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
    keep_states: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan; arguments as :func:`rsmamba_mm.ops.multi_order_scan`.

    Args:
        keep_states (bool): Whether a backward follows, which needs the states between the chunks.

    Returns:
        tuple: The output ``(B, K, L, E)`` in ``u``'s dtype, the last state ``(B, K, N, E)`` and the
        kept states ``(chunks or 0, B, K, N, E)``, both in the computing dtype.
    """
    chunks = _ChunkReader(u, delta, A, B, C, delta_bias, delta_weight, orders, delta_softplus)
    state = torch.zeros(chunks.state_shape, dtype=chunks.dtype, device=u.device)
    kept = state.new_empty(len(chunks.starts) if keep_states else 0, *chunks.state_shape)
    y = torch.empty(chunks.output_shape, dtype=u.dtype, device=u.device)
    for i, start in enumerate(chunks.starts):
        if keep_states:
            kept[i] = state
        u_ = chunks.read(u, start)
        B_, C_ = chunks.read(B, start), chunks.read(C, start)
        _, states = chunks.run(state, u_, chunks.positive(chunks.raw_delta(start)), B_)
        state = states[-1].clone()
        out = torch.matmul(C_.unsqueeze(-2), states).squeeze(-2)
        if D is not None:
            out = torch.addcmul(out, u_, D.to(chunks.dtype))
        _write(y, out, chunks.tokens(start), start)
    return y, state, kept


def scan_backward(
    grad_y: Tensor,
    grad_last: Tensor | None,
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
    kept: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of (u, delta, A, B, C, D, delta_bias), each shaped and typed as its tensor; delta's
    is that of the projected steps ``(B, K, L, E)``, in its own dtype or the computing dtype.

    With ``g_t = C_t dy_t + a_{t+1} g_{t+1}``, the adjoint of the state: ``dC = dy h``,
    ``dB = g Δ u``, ``du = Δ Σ_n g B + D dy`` and, through ``a = exp(Δ A)``,
    ``dΔ = u Σ_n g B + Σ_n g h_{t-1} a A`` and ``dA = Σ g h_{t-1} a Δ``.
    """
    chunks = _ChunkReader(u, delta, A, B, C, delta_bias, delta_weight, orders, delta_softplus)
    dtype = chunks.dtype
    # the gradient of a sequence that all orders read is gathered per order, then summed
    grad_u, grad_delta = (torch.empty(chunks.output_shape, dtype=dtype, device=u.device) for _ in range(2))
    grad_B, grad_C = (torch.empty(B.shape, dtype=dtype, device=u.device) for _ in range(2))
    grad_A = torch.zeros_like(chunks.A)
    grad_D = None if D is None else chunks.A.new_zeros(chunks.A.shape[0], chunks.A.shape[2])
    carried = kept.new_zeros(chunks.state_shape) if grad_last is None else grad_last.to(dtype)
    for i in reversed(range(len(chunks.starts))):
        start = chunks.starts[i]
        u_, B_, C_ = (chunks.read(x, start) for x in (u, B, C))
        dy = chunks.read(grad_y, start)
        raw = chunks.raw_delta(start)
        positive = chunks.positive(raw)
        decay, states = chunks.run(kept[i], u_, positive, B_)

        adjoint = chunks.buffer('adjoint', len(dy))
        torch.mul(C_.unsqueeze(-1), dy.unsqueeze(-2), out=adjoint)
        adjoint[-1].add_(carried)
        for t in range(len(dy) - 2, -1, -1):
            adjoint[t].addcmul_(decay[t + 1], adjoint[t + 1])
        carried = decay[0] * adjoint[0]

        dC = torch.matmul(states, dy.unsqueeze(-1)).squeeze(-1)
        dB = torch.matmul(adjoint, (positive * u_).unsqueeze(-1)).squeeze(-1)
        drive = torch.matmul(B_.unsqueeze(-2), adjoint).squeeze(-2)
        # from here on `decay` holds g h_{t-1} a
        decay.mul_(adjoint)
        decay[0].mul_(kept[i])
        decay[1:].mul_(states[:-1])
        d_delta = torch.mul(decay, chunks.A, out=states).sum(-2).addcmul_(drive, u_)
        grad_A += torch.mul(decay, positive.unsqueeze(-2), out=states).sum((0, 1))

        du = drive.mul_(positive)
        if D is not None:
            du.addcmul_(dy, D.to(dtype))
            grad_D += (dy * u_).sum((0, 1))
        if delta_softplus:
            d_delta.mul_(torch.sigmoid(raw))
        tokens = chunks.tokens(start)
        for whole, part in ((grad_u, du), (grad_delta, d_delta), (grad_B, dB), (grad_C, dC)):
            _write(whole, part, tokens, start)

    grad_bias = None
    if delta_bias is not None:
        grad_bias = reduce_to(grad_delta.sum((0, 2)), delta_bias)
    return (
        reduce_to(grad_u, u),
        grad_delta,
        reduce_to(grad_A.mT, A),
        grad_B.to(B.dtype),
        grad_C.to(C.dtype),
        None if D is None else reduce_to(grad_D, D),
        grad_bias,
    )


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor, activation: bool
) -> Tensor:
    """Causal depthwise convolution along each order; see :func:`rsmamba_mm.ops.multi_order_conv1d`."""
    dtype = compute_dtype(x)
    pre = _convolve(_read_padded(x, orders, weight.shape[-1], dtype), weight, bias)
    y = F.silu(pre, inplace=True) if activation else pre
    return take(y.to(x.dtype), invert_orders(orders))


def conv_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    orders: Tensor,
    activation: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias)."""
    dtype = compute_dtype(x)
    taps = weight.shape[-1]
    length = orders.shape[1]
    read = _read_padded(x, orders, taps, dtype)
    grad = take(grad_y, orders).to(dtype)
    if activation:
        pre = _convolve(read, weight, bias)
        grad = torch.ops.aten.silu_backward(grad, pre)
    grad_weight = torch.stack([(grad * read[:, :, j : j + length]).sum((0, 1, 2)) for j in range(taps)], -1)
    grad_read = torch.zeros_like(read)
    for j in range(taps):
        grad_read[:, :, j : j + length].addcmul_(grad, weight[:, j].to(dtype))
    grad_x = take(grad_read[:, :, taps - 1 :], invert_orders(orders)).sum(1)
    grad_bias = None if bias is None else grad.sum((0, 1, 2)).to(bias.dtype)
    return grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias


def _write(whole: Tensor, chunk: Tensor, tokens: Tensor | None, start: int) -> None:
    """Put a chunk ``(T, B, K, X)`` in time order into ``(B, K, L, X)`` in token order."""
    chunk = chunk.permute(1, 2, 0, 3).to(whole.dtype)
    if tokens is None:
        whole[:, :, start : start + chunk.shape[2]] = chunk
    else:
        whole[:, torch.arange(len(tokens), device=tokens.device)[:, None], tokens] = chunk


def _read_padded(x: Tensor, orders: Tensor, taps: int, dtype: torch.dtype) -> Tensor:
    return F.pad(take(x[:, None], orders).to(dtype), (0, 0, taps - 1, 0))


def _convolve(read: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    taps, length = weight.shape[-1], read.shape[2] - weight.shape[-1] + 1
    weight = weight.to(read.dtype)
    y = read[:, :, taps - 1 :] * weight[:, taps - 1]
    if bias is not None:
        y += bias.to(read.dtype)
    for j in range(taps - 1):
        y.addcmul_(read[:, :, j : j + length], weight[:, j])
    return y
