"""A backend on the CUDA kernel of Mamba's authors, wherever it was built.

The kernel scans ``(B, D, L)`` in time order, so the tokens are gathered into K groups of channels, one
for each order, and its results scattered back. Of its states only those every 2048 steps are kept, as it
does itself. The convolution is that of the ``torch`` backend. :mod:`.mamba_ssm` and :mod:`.mamba_hub` say
where they have the kernel from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..orders import invert_orders, take
from .contract import ScanGradients, ScanInputs

CHUNK = 2048  # steps between two states that the kernel keeps


class Kernel(NamedTuple):
    """The kernel's two functions, with mamba-ssm 2's arguments.

    Attributes:
        forward (Callable): Of u, delta, A, B, C, D, z, delta_bias and whether softplus follows: the output,
            the states after each chunk beside the products of decays, and with z the gated output.
        backward (Callable): Of these tensors, the gradient of the output, the states, the output, room for
            the gradient of z, whether softplus follows and whether the output is computed again: the
            gradients.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]


class MambaKernel:
    """The functions of such a backend; see :mod:`.contract`.

    Args:
        name (str): Of the backend, for messages.
        load (Callable): Gives the kernel.
    """

    def __init__(self, name: str, load: Callable[[], Kernel]) -> None:
        self.name, self.load = name, load

    def chunk_length(self, length: int) -> int:
        """Steps between two kept states."""
        return CHUNK

    def supports(self, s: ScanInputs) -> str | None:
        """Why the kernel does not scan these, or None."""
        if s.states <= 256 and s.dtype == torch.float32:
            return None
        return (
            f'its kernel takes up to 256 states and no float64, got {s.states} states and {s.u.dtype}: '
            'choose a smaller d_state, or float32'
        )

    def scan_forward(self, s: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Run the scan; see :mod:`.contract`."""
        scan = _Scan(s)
        if 0 in s.output_shape:
            last = torch.zeros(s.state_shape, device=s.u.device)
            chunks = -(-s.length // CHUNK) if keep_states else 0
            return s.u.new_empty(s.output_shape), last, last.new_zeros(chunks, *last.shape)
        y, x = self.load().forward(*scan.arguments, s.delta_softplus)[:2]
        # (B, K E, chunks, 2 N), product of the decays and state in turn, after each chunk
        ends = x[..., 1::2].unflatten(1, (s.paths, s.channels)).permute(3, 0, 1, 4, 2)
        kept = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]]) if keep_states else ends[:0].clone()
        return scan.tokens(y), ends[-1].contiguous(), kept.contiguous()

    def scan_backward(
        self, s: ScanInputs, grad_y: Tensor, grad_last: Tensor | None, kept: Tensor
    ) -> ScanGradients:
        """All gradients; see :mod:`.contract`. Those of u and delta have u's dtype."""
        if grad_last is not None:
            raise RuntimeError(
                f"scan backend '{self.name}' has no gradient through the last state: its kernel leaves it "
                "out. Use 'triton' or 'torch', or detach the state"
            )
        scan = _Scan(s)
        if 0 in s.output_shape:
            per_order = [
                (s.paths, s.channels, s.states),
                s.B.shape,
                s.C.shape,
                *[(s.paths, s.channels)] * 2,
            ]
            return ScanGradients(*(kept.new_zeros(x) for x in (s.output_shape, s.output_shape, *per_order)))
        x = kept.new_zeros(s.batch, s.paths * s.channels, kept.shape[0], 2 * s.states)
        # what the kernel reads for a chunk is the state after the one before
        x[:, :, :-1, 1::2] = kept[1:].permute(1, 2, 4, 0, 3).flatten(1, 2)
        grads = self.load().backward(
            *scan.arguments, scan.grouped(grad_y.to(s.u.dtype)), x, None, None, s.delta_softplus, False
        )
        du, ddelta, dA, dB, dC, dD, dbias = grads[:7]
        of_orders = (s.paths, s.channels)
        dA = dA.unflatten(0, of_orders)
        dD, dbias = (None if x is None else x.unflatten(0, of_orders) for x in (dD, dbias))
        dB, dC = (take(grad.mT, scan.inverse) for grad in (dB, dC))
        return ScanGradients(scan.tokens(du), scan.tokens(ddelta), dA, dB, dC, dD, dbias)


class _Scan:
    """A scan as the kernel takes it: the orders as groups of channels, in time order."""

    def __init__(self, s: ScanInputs):
        delta = s.delta if s.delta_weight is None else s.delta @ s.delta_weight.to(s.delta.dtype).mT
        self.s, self.inverse = s, None if s.orders is None else invert_orders(s.orders)

        def of_groups(x: Tensor | None, axes: int) -> Tensor | None:
            """A parameter of all groups, one after the other."""
            if x is None:
                return None
            return x.float().expand(s.paths, *x.shape[-axes:]).flatten(0, 1).contiguous()

        self.arguments = (
            self.grouped(s.u),
            self.grouped(delta.to(s.u.dtype)),
            of_groups(s.A, 2),
            *(take(x, s.orders).to(s.u.dtype).mT.contiguous() for x in (s.B, s.C)),
            of_groups(s.D, 1),
            None,  # the gate
            of_groups(s.delta_bias, 1),
        )

    def grouped(self, x: Tensor) -> Tensor:
        """``(B, K or 1, L, E)`` in token order as ``(B, K E, L)`` in time order."""
        x = take(x, self.s.orders).expand(-1, self.s.paths, -1, -1)
        return x.mT.flatten(1, 2).contiguous()

    def tokens(self, x: Tensor) -> Tensor:
        """``(B, K E, L)`` in time order as ``(B, K, L, E)`` in token order."""
        return take(x.unflatten(1, (self.s.paths, self.s.channels)).mT, self.inverse).contiguous()


def failure(error: Exception) -> str:
    """Why the kernel failed in its comparison with ``torch``, without what mends it."""
    if isinstance(error, AssertionError):
        reason = f'gives wrong results ({first_line(error)})'
    elif isinstance(error, TypeError):
        reason = f'takes other arguments than those of mamba-ssm 2 ({first_line(error)})'
    elif 'no kernel image' in str(error):
        reason = f'was built for other GPUs than {torch.cuda.get_device_name()} (no kernel image for it)'
    else:
        reason = f'fails when run ({first_line(error)})'
    return f'its kernel {reason}'


def first_line(error: BaseException) -> str:
    """An error's message, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def stamp(file: Path) -> str:
    """Which build a file is."""
    return f'{file} {file.stat().st_size} {file.stat().st_mtime_ns}'
