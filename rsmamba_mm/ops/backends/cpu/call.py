"""The ``cpu`` backend: native C++, compiled on first use (:mod:`.build`).

States stay in registers, one vector of channels for each; the backward recomputes them from those kept
every few steps. float32 and float64 are computed as they are, half precision in float32.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache

import torch
from torch import Tensor

from ...numerics import compute_dtype, rows
from ..contract import ScanGradients, ScanInputs
from .build import BuildError, instructions, library

MAX_TAPS = 128
# of what groups of channels sum apart, beyond which there are no more groups than threads need
PARTIAL_BYTES = 2**24
SUFFIXES = {torch.float32: 'f32', torch.float64: 'f64'}


def probe() -> str | None:
    """Why the backend cannot run here, or None: compiles it where it is not yet."""
    try:
        _library()
    except (BuildError, OSError) as error:
        return str(error)
    return None


def chunk_length(length: int) -> int:
    """Steps between two kept states: few states in memory, and a chunk's work space still in cache."""
    root = math.isqrt(length)
    return max(1, min(max(64, root), 2 * root, length))


def supports_conv(x: Tensor, weight: Tensor) -> str | None:
    """Why it does not convolve these, or None."""
    taps = weight.shape[-1]
    return None if taps <= MAX_TAPS else f'it takes at most {MAX_TAPS} taps, got {taps}: choose fewer'


def scan_forward(s: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan; see :mod:`..contract`."""
    scan = _Scan(s)
    y, last = scan.empty(scan.output_shape), scan.empty(scan.state_shape)
    kept = scan.empty((scan.chunks if keep_states else 0, *scan.state_shape))
    scan.call('scan_forward', [], [y, last, kept if keep_states else None])
    return y.to(s.u.dtype), last, kept


def scan_backward(s: ScanInputs, grad_y: Tensor, grad_last: Tensor | None, kept: Tensor) -> ScanGradients:
    """All gradients; see :mod:`..contract`."""
    scan = _Scan(s, most_bytes=PARTIAL_BYTES)
    given = [scan.view(grad_y), scan.dense(grad_last), scan.dense(kept)]
    du, ddelta = scan.empty(scan.output_shape), scan.empty(scan.output_shape)
    dB, dC = scan.empty((scan.groups, *s.B.shape)), scan.empty((scan.groups, *s.C.shape))
    dA = scan.empty(scan.state_shape)
    dD, dbias = (scan.empty((s.batch, s.paths, s.channels)) for _ in range(2))
    scan.call('scan_backward', given, [du, ddelta, dB, dC, dA, dD, dbias])
    return ScanGradients(du, ddelta, dA.sum(0).mT, _add_parts(dB), _add_parts(dC), dD.sum(0), dbias.sum(0))


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor, activation: bool
) -> Tensor:
    """As :func:`rsmamba_mm.ops.backends.torch_chunked.conv_forward`."""
    conv = _Conv(x, weight, bias, orders, activation)
    y = conv.empty((x.shape[0], len(orders), *x.shape[1:]))
    conv.call('conv_forward', [], [y])
    return y.to(x.dtype)


def conv_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    orders: Tensor,
    activation: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As :func:`rsmamba_mm.ops.backends.torch_chunked.conv_backward`."""
    conv = _Conv(x, weight, bias, orders, activation)
    batch, paths, (channels, taps) = len(x), len(orders), weight.shape[-2:]
    dx, dweight = conv.empty(x.shape), conv.empty((batch, paths, taps, channels))
    dbias = conv.empty((batch, paths, channels))
    conv.call('conv_backward', [conv.dense(grad_y)], [dx, dweight, dbias])
    return dx, dweight.sum(0).mT, None if bias is None else dbias.sum(0)


def pool_forward(y: Tensor, z: Tensor) -> Tensor:
    """As :func:`rsmamba_mm.ops.backends.reference.pool`."""
    gate = _Gate(y, z)
    batch, paths, length, channels = y.shape
    sums = gate.empty((batch, gate.pieces, paths, channels))
    gate.call('pool_forward', [], [sums])
    return (sums.sum(1) / length).to(y.dtype)


def pool_backward(grad: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of (y, z)."""
    gate = _Gate(y, z)
    dy, dz = gate.empty(y.shape), gate.empty(z.shape)
    gate.call('pool_backward', [gate.dense(grad)], [dy, dz])
    return dy.to(y.dtype), dz.to(z.dtype)


def merge_forward(y: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    """As :func:`rsmamba_mm.ops.backends.reference.merge`."""
    gate = _Gate(y, z)
    out = gate.empty(z.shape)
    gate.call('merge_forward', [gate.dense(weights)], [out])
    return out.to(y.dtype)


def merge_backward(grad: Tensor, y: Tensor, z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of (y, z, weights)."""
    gate = _Gate(y, z)
    dy, dz = gate.empty(y.shape), gate.empty(z.shape)
    dweights = gate.empty((y.shape[0], gate.pieces, y.shape[1]))
    gate.call('merge_backward', [gate.dense(weights), gate.dense(grad)], [dy, dz, dweights])
    return dy.to(y.dtype), dz.to(z.dtype), dweights.sum(1).to(weights.dtype)


class _Call:
    """A call of the library: tensors in its dtype and layout, kept alive while it runs."""

    def __init__(self, x: Tensor) -> None:
        self.dtype = compute_dtype(x)
        self.inputs: list[Tensor | None] = []
        self.sizes: list[int] = []
        self.strides: list[int] = []  # of what is read as it lies
        self.groups = 1

    def empty(self, shape) -> Tensor:
        return torch.empty(shape, dtype=self.dtype)

    def dense(self, x: Tensor | None) -> Tensor | None:
        return None if x is None else _aligned(x.to(self.dtype).contiguous())

    def rows(self, x: Tensor) -> tuple[Tensor, int]:
        """Rows of channels and the distance between two; a slice of a projection is taken as it is."""
        return rows(_aligned(x.to(self.dtype)))

    def call(self, name: str, inputs: list[Tensor | None], outputs: list[Tensor | None]) -> None:
        if 0 in self.sizes[:4]:  # images, orders, tokens or channels: there is nothing to read
            for x in outputs:
                if x is not None:
                    x.zero_()
            return
        function = getattr(_library(), f'{name}_{SUFFIXES[self.dtype]}_{instructions()}')
        sizes = [*self.sizes, *self.strides]
        function(
            (ctypes.c_int64 * len(sizes))(*sizes),
            self.pointers([*self.inputs, *inputs]),
            self.pointers(outputs),
            ctypes.c_int64(self.groups),
            ctypes.c_int(torch.get_num_threads()),
        )

    def pointers(self, tensors: list[Tensor | None]) -> ctypes.Array:
        """Addresses: the operator has checked the sizes, :meth:`dense` or :meth:`rows` set the layout."""
        for x in tensors:
            if x is not None and not (x.is_cpu and x.dtype in (self.dtype, torch.int64)):
                raise TypeError(
                    f"scan backend 'cpu' reads {self.dtype} on cpu, got {x.dtype} on {x.device}"
                )
        return (ctypes.c_void_p * len(tensors))(*(0 if x is None else x.data_ptr() for x in tensors))


class _Scan(_Call):
    def __init__(self, s: ScanInputs, most_bytes: int | None = None):
        super().__init__(s.u)
        self.output_shape = batch, paths, length, channels = s.output_shape
        states = s.states
        self.state_shape = (batch, paths, states, channels)
        chunk = chunk_length(length)
        self.chunks = -(-length // chunk)
        self.groups = _groups(batch * paths, channels)
        if most_bytes is not None:
            part = 2 * s.B.numel() * self.dtype.itemsize
            needed = -(-torch.get_num_threads() // max(1, batch * paths))
            self.groups = min(self.groups, max(needed, most_bytes // max(1, part)))
        weight = s.delta_weight
        self.inputs = [
            *(self.view(x) for x in (s.u, s.delta, s.B, s.C)),
            self.dense(s.A.mT),
            self.dense(s.D),
            self.dense(s.delta_bias),
            None if weight is None else self.dense(weight.mT),
            None if s.orders is None else _aligned(s.orders.contiguous()),
        ]
        self.sizes = [
            *self.output_shape,
            states,
            s.rank,
            chunk,
            int(s.delta_softplus),
            states * channels if s.A.dim() == 3 else 0,
            channels if s.D is not None and s.D.dim() == 2 else 0,
            channels if s.delta_bias is not None and s.delta_bias.dim() == 2 else 0,
            s.rank * channels if weight is not None and weight.dim() == 3 else 0,
        ]

    def view(self, x: Tensor) -> Tensor:
        """``(B, K or 1, L, X)`` as it lies in memory, whatever its strides."""
        x = _aligned(x.to(self.dtype))
        per_path = x.stride(1) if x.shape[1] > 1 else 0
        self.strides += [x.stride(0), per_path, x.stride(2), x.stride(3)]
        return x


class _Conv(_Call):
    def __init__(self, x, weight, bias, orders, activation):
        super().__init__(x)
        taps = weight.shape[-1]
        x, row = self.rows(x)
        self.inputs = [x, self.dense(weight.mT), self.dense(bias), _aligned(orders.contiguous())]
        batch, length, channels = x.shape
        self.groups = _groups(batch, channels)
        self.sizes = [
            *(batch, len(orders), length, channels, taps, row, int(activation)),
            taps * channels if weight.dim() == 3 else 0,
            channels if bias is not None and bias.dim() == 2 else 0,
        ]


class _Gate(_Call):
    STEPS = 32  # tokens of a task, as Gate::kSteps

    def __init__(self, y, z):
        super().__init__(y)
        z, row = self.rows(z)
        self.inputs = [self.dense(y), z]
        self.sizes = [*y.shape, row]
        self.pieces = -(-y.shape[2] // self.STEPS)


def _aligned(x: Tensor) -> Tensor:
    """A copy where numbers do not lie at multiples of their size, as in a view of a file."""
    return x.clone() if x.data_ptr() % x.element_size() else x


def _add_parts(parts: Tensor) -> Tensor:
    """Sum over the first axis, in the memory of the first part."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _groups(sequences: int, channels: int) -> int:
    """Into how many tasks to split the channels of a sequence: enough in all, and as many per thread."""
    threads, most = torch.get_num_threads(), max(1, channels // 64)
    enough = min(most, -(-4 * threads // max(1, sequences)))
    even = (groups for groups in range(enough, most + 1) if sequences * groups % threads == 0)
    return next(even, enough)


@cache
def _library() -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library()))
    _keep_freed_memory()
    return loaded


def _keep_freed_memory(size: int = 2**30, largest: int = 2**26) -> None:
    """Let the C library keep up to a gigabyte that was freed, in blocks up to ``largest``.

    PyTorch takes CPU memory from malloc, and glibc returns blocks of the size of activations to the
    system as soon as they are freed: every step then pays for fresh pages again, up to a fifth of its
    time. Of still larger blocks, as sequences of 65,536 tokens need them, a few that lie kept and do not
    fit would double what a process takes. Elsewhere than on glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(trim_threshold, size)
        mallopt(mmap_threshold, largest)
