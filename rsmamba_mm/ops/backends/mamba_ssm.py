"""The ``mamba_ssm`` backend: the CUDA kernel of Mamba's authors, where their package has it.

The kernel scans ``(B, D, L)`` in time order, so the tokens are gathered into K groups of channels, one
for each order, and its results scattered back. Of its states only those every 2048 steps are kept, as it
does itself. The convolution is that of the ``torch`` backend.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..orders import invert_orders, take
from .reference import reduce_to
from .torch_chunked import conv_backward, conv_forward

__all__ = ['chunk_length', 'conv_backward', 'conv_forward', 'scan_backward', 'scan_forward']

CHUNK = 2048  # steps between two states that the kernel keeps


def chunk_length(length: int) -> int:
    """Steps between two kept states."""
    return CHUNK


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
    """As :func:`rsmamba_mm.ops.backends.torch_chunked.scan_forward`."""
    scan = _Scan(u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus)
    batch, paths, length, channels = scan.shape
    states = A.shape[-1]
    if batch * paths * length * channels == 0:
        last = torch.zeros(batch, paths, states, channels, device=u.device)
        chunks = -(-length // CHUNK) if keep_states else 0
        return u.new_empty(scan.shape), last, last.new_zeros(chunks, *last.shape)
    y, x = scan.kernel().fwd(*scan.arguments, delta_softplus)[:2]
    # (B, K E, chunks, 2 N), product of the decays and state in turn, after each chunk
    ends = x[..., 1::2].unflatten(1, (paths, channels)).permute(3, 0, 1, 4, 2)
    kept = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]]) if keep_states else ends[:0].clone()
    return scan.tokens(y), ends[-1].contiguous(), kept.contiguous()


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
    """As :func:`rsmamba_mm.ops.backends.torch_chunked.scan_backward`; delta's gradient has u's dtype."""
    if grad_last is not None:
        raise RuntimeError(
            "scan backend 'mamba_ssm' has no gradient through the last state: its kernel leaves it out. "
            "Use 'triton' or 'torch', or detach the state"
        )
    scan = _Scan(u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus)
    _, paths, _, channels = scan.shape
    if grad_y.numel() == 0:
        zeros = (None if x is None else torch.zeros_like(x) for x in (A, B, C, D, delta_bias))
        return torch.zeros_like(u), u.new_zeros(scan.shape), *zeros
    x = kept.new_zeros(kept.shape[1], paths * channels, kept.shape[0], 2 * A.shape[-1])
    # what the kernel reads for a chunk is the state after the one before
    x[:, :, :-1, 1::2] = kept[1:].permute(1, 2, 4, 0, 3).flatten(1, 2)
    grads = scan.kernel().bwd(
        *scan.arguments, scan.grouped(grad_y.to(u.dtype)), x, None, None, delta_softplus, False
    )
    du, ddelta, dA, dB, dC, dD, dbias = grads[:7]
    dB, dC = (take(grad.mT, scan.inverse) for grad in (dB, dC))
    return (
        reduce_to(scan.tokens(du), u),
        scan.tokens(ddelta),
        reduce_to(dA.unflatten(0, (paths, channels)), A),
        dB.to(B.dtype),
        dC.to(C.dtype),
        None if D is None else reduce_to(dD.view(paths, channels), D),
        None if delta_bias is None else reduce_to(dbias.view(paths, channels), delta_bias),
    )


class _Scan:
    """A scan as the kernel takes it: the orders as groups of channels, in time order."""

    def __init__(self, u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus):
        if u.dtype == torch.float64 or A.shape[-1] > 256:
            raise RuntimeError(
                f"scan backend 'mamba_ssm' takes up to 256 states and no float64, got {A.shape[-1]} states "
                f"and {u.dtype}: use 'torch'"
            )
        if delta_weight is not None:
            delta = delta @ delta_weight.to(delta.dtype).mT
        self.orders, self.shape = orders, tuple(delta.shape)
        self.inverse = None if orders is None else invert_orders(orders)
        paths = delta.shape[1]

        def of_groups(x: Tensor | None, axes: int) -> Tensor | None:
            """A parameter of all groups, one after the other."""
            if x is None:
                return None
            return x.float().expand(paths, *x.shape[-axes:]).flatten(0, 1).contiguous()

        self.arguments = (
            self.grouped(u),
            self.grouped(delta.to(u.dtype)),
            of_groups(A, 2),
            *(take(x, orders).to(u.dtype).mT.contiguous() for x in (B, C)),
            of_groups(D, 1),
            None,  # the gate
            of_groups(delta_bias, 1),
        )

    @staticmethod
    def kernel():
        import selective_scan_cuda

        return selective_scan_cuda

    def grouped(self, x: Tensor) -> Tensor:
        """``(B, K or 1, L, E)`` in token order as ``(B, K E, L)`` in time order."""
        x = take(x, self.orders).expand(-1, self.shape[1], -1, -1)
        return x.mT.flatten(1, 2).contiguous()

    def tokens(self, x: Tensor) -> Tensor:
        """``(B, K E, L)`` in time order as ``(B, K, L, E)`` in token order."""
        return take(x.unflatten(1, (self.shape[1], self.shape[3])).mT, self.inverse).contiguous()
