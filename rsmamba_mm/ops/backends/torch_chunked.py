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

from ..numerics import compute_dtype
from ..orders import invert_orders, take
from .contract import ScanGradients, ScanInputs


def chunk_length(length: int) -> int:
    """Steps between two kept states."""
    return max(1, math.isqrt(length))


class _ChunkReader:
    """Reads chunks of a scan's inputs in time order, as ``(T, B, K, …)`` in the computing dtype."""

    def __init__(self, s: ScanInputs):
        self.s, self.dtype, self.orders = s, s.dtype, s.orders
        self.bias = None if s.delta_bias is None else s.delta_bias.to(self.dtype)
        self.weight = None if s.delta_weight is None else s.delta_weight.to(self.dtype)
        self.D = None if s.D is None else s.D.to(self.dtype)
        self.A = s.A.to(self.dtype).mT.expand(s.paths, -1, -1).contiguous()  # (K, N, E)
        self.step = chunk_length(s.length)
        self.starts = range(0, s.length, self.step)
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
        chunk = self.read(self.s.delta, start)
        if self.weight is not None:
            pattern = 'tbkr,er->tbke' if self.weight.dim() == 2 else 'tbkr,ker->tbke'
            chunk = torch.einsum(pattern, chunk, self.weight)
        return chunk if self.bias is None else chunk + self.bias

    def positive(self, raw_delta: Tensor) -> Tensor:
        return F.softplus(raw_delta) if self.s.delta_softplus else raw_delta

    def buffer(self, name: str, steps: int) -> Tensor:
        """A reused ``(T, B, K, N, E)`` workspace."""
        if name not in self.buffers:
            size = (min(self.step, self.s.length), *self.s.state_shape)
            self.buffers[name] = torch.empty(size, dtype=self.dtype, device=self.s.u.device)
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


def scan_forward(s: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan; see :mod:`.contract`."""
    chunks = _ChunkReader(s)
    state = torch.zeros(s.state_shape, dtype=s.dtype, device=s.u.device)
    kept = state.new_empty(len(chunks.starts) if keep_states else 0, *s.state_shape)
    y = s.u.new_empty(s.output_shape)
    for i, start in enumerate(chunks.starts):
        if keep_states:
            kept[i] = state
        u_ = chunks.read(s.u, start)
        B_, C_ = chunks.read(s.B, start), chunks.read(s.C, start)
        _, states = chunks.run(state, u_, chunks.positive(chunks.raw_delta(start)), B_)
        state = states[-1].clone()
        out = torch.matmul(C_.unsqueeze(-2), states).squeeze(-2)
        if chunks.D is not None:
            out = torch.addcmul(out, u_, chunks.D)
        _write(y, out, chunks.tokens(start), start)
    return y, state, kept


def scan_backward(s: ScanInputs, grad_y: Tensor, grad_last: Tensor | None, kept: Tensor) -> ScanGradients:
    """All gradients; see :mod:`.contract`.

    With ``g_t = C_t dy_t + a_{t+1} g_{t+1}``, the adjoint of the state: ``dC = dy h``,
    ``dB = g Δ u``, ``du = Δ Σ_n g B + D dy`` and, through ``a = exp(Δ A)``,
    ``dΔ = u Σ_n g B + Σ_n g h_{t-1} a A`` and ``dA = Σ g h_{t-1} a Δ``.
    """
    chunks = _ChunkReader(s)
    shapes = (s.output_shape, s.output_shape, s.B.shape, s.C.shape)
    grad_u, grad_delta, grad_B, grad_C = (kept.new_empty(shape) for shape in shapes)
    grad_A = torch.zeros_like(chunks.A)
    grad_D = None if s.D is None else kept.new_zeros(s.paths, s.channels)
    carried = kept.new_zeros(s.state_shape) if grad_last is None else grad_last.to(s.dtype)
    for i in reversed(range(len(chunks.starts))):
        start = chunks.starts[i]
        u_, B_, C_ = (chunks.read(x, start) for x in (s.u, s.B, s.C))
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
        if chunks.D is not None and grad_D is not None:
            du.addcmul_(dy, chunks.D)
            grad_D += (dy * u_).sum((0, 1))
        if s.delta_softplus:
            d_delta.mul_(torch.sigmoid(raw))
        tokens = chunks.tokens(start)
        for whole, part in ((grad_u, du), (grad_delta, d_delta), (grad_B, dB), (grad_C, dC)):
            _write(whole, part, tokens, start)

    grad_bias = None if s.delta_bias is None else grad_delta.sum((0, 2))
    return ScanGradients(grad_u, grad_delta, grad_A.mT, grad_B, grad_C, grad_D, grad_bias)


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
    """Gradients of (x, weight, bias); those of weight ``(K, E, W)`` and bias ``(K, E)`` of each order."""
    dtype = compute_dtype(x)
    taps = weight.shape[-1]
    length = orders.shape[1]
    read = _read_padded(x, orders, taps, dtype)
    grad = take(grad_y, orders).to(dtype)
    if activation:
        pre = _convolve(read, weight, bias)
        grad = torch.ops.aten.silu_backward(grad, pre)
    # one axis after the other: together, with the orders between them, they take three times as long
    grad_taps = [(grad * read[:, :, j : j + length]).sum(2).sum(0) for j in range(taps)]
    grad_read = torch.zeros_like(read)
    for j in range(taps):
        grad_read[:, :, j : j + length].addcmul_(grad, weight[..., None, :, j].to(dtype))
    grad_x = take(grad_read[:, :, taps - 1 :], invert_orders(orders)).sum(1)
    return grad_x, torch.stack(grad_taps, -1), None if bias is None else grad.sum(2).sum(0)


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
    weight = weight.to(read.dtype).unsqueeze(-3)  # the same at each step
    y = read[:, :, taps - 1 :] * weight[..., taps - 1]
    if bias is not None:
        y += bias.to(read.dtype).unsqueeze(-2)
    for j in range(taps - 1):
        y.addcmul_(read[:, :, j : j + length], weight[..., j])
    return y
