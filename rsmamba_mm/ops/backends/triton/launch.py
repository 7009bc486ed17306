"""The functions of the ``triton`` backend: what they launch (:mod:`.scan`, :mod:`.conv`, :mod:`.paths`).

All orders run in one launch and read the tokens through their indices. Where there are few sequences,
each is cut into segments that run side by side: a first pass finds what each does to the state, a second
carries the state from segment to segment, a third writes the output. The backward computes the states
of a chunk again from the kept one. No sum depends on which program ends first, so results repeat bit by
bit.

Half precision is computed in float32; float32 and float64 stay. In Triton's interpreter
(``TRITON_INTERPRET=1``) the same kernels run on the CPU, slowly: for tests.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...numerics import compute_dtype, rows
from ...orders import invert_orders
from ..contract import ScanGradients, ScanInputs
from . import conv as conv_kernels
from . import paths as path_kernels
from . import scan as scan_kernels

CHUNK = 32  # steps between two kept states: what the backward computes again then stays in 50 MB of cache
TILE = 8  # steps in registers
BLOCK = 64  # channels of a program, two to a thread
WARP = dict(num_warps=1)
SCAN = dict(WARP, maxnreg=128)  # what sixteen warps leave each other
# the backward has more rows in registers: fewer steps, and the registers of ten warps
BACKWARD = dict(TILE=4, maxnreg=192)
# tokens and channels of a program of the convolution and of the gate
PATCH = dict(TILE=16, BLOCK=64)
CONV_STEPS = 128  # steps whose share of the gradient of the weights one program sums
MAX_TAPS = 16  # of the convolution, whose sums are in registers
MAX_RANK = 64  # beyond, the step sizes are projected first: a matrix product is then the faster

DTYPES = {torch.float32: tl.float32, torch.float64: tl.float64}
LOG2_E = 1.4426950408889634


def version() -> str:
    """Of the compiler."""
    return triton.__version__


def chunk_length(length: int) -> int:
    """Steps between two kept states."""
    return CHUNK


def supports(s: ScanInputs) -> str | None:
    """Why it does not scan these, or None: within a sequence it counts in 32 bits."""
    # a row of a projection is as far from the next as the projection is wide
    distances = [x.stride(2) if x.stride(3) == 1 else 0 for x in (s.delta, s.B, s.C)]
    widest = max(s.channels, s.states, s.delta.shape[-1], *distances)
    if s.length * widest < 2**31:
        return None
    return (
        f'it counts up to 2^31 elements of a sequence, and this one has {s.length} rows of {widest}: '
        'scan shorter sequences'
    )


def supports_conv(x: Tensor, weight: Tensor) -> str | None:
    """Why it does not convolve these, or None."""
    taps = weight.shape[-1]
    return None if taps <= MAX_TAPS else f'it takes at most {MAX_TAPS} taps, got {taps}: choose fewer'


def scan_forward(s: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan; see :mod:`..contract`."""
    scan = _Scan(s)
    y = s.u.new_empty(s.output_shape)
    state = scan.zeros(scan.segments, *s.state_shape)
    last = state[0] if scan.segments == 1 else scan.zeros(*s.state_shape)
    kept = scan.empty(scan.chunks if keep_states else 0, *s.state_shape)
    if y.numel() == 0:
        return y, last, kept.zero_()
    total = scan.totals()

    def run(output: bool) -> None:
        keep = output and keep_states
        scan_kernels.scan_forward[scan.grid](
            *scan.arguments, y, state, kept, total, OUTPUT=output, KEEP=keep, **scan.options
        )

    with torch.cuda.device_of(s.u):
        if scan.segments > 1:
            run(output=False)
            scan.combine(state, total, last, reverse=False)
        run(output=True)
    return y, last, kept


def scan_backward(s: ScanInputs, grad_y: Tensor, grad_last: Tensor | None, kept: Tensor) -> ScanGradients:
    """All gradients; see :mod:`..contract`. Those of u and delta have their dtypes."""
    scan = _Scan(s)
    grad_y = grad_y.contiguous()
    # a sum over the orders is rounded to half precision once, at its end
    grad_u = s.u.new_empty(s.output_shape, dtype=scan.dtype if s.one_u else s.u.dtype)
    grad_delta = s.delta.new_empty(s.output_shape)
    grad_A = scan.zeros(scan.segments, *s.state_shape)
    grad_D, grad_bias = (scan.zeros(scan.segments, s.batch, s.paths, s.channels) for _ in range(2))
    grad_BC = scan.empty(2, scan.blocks, *s.B.shape)
    if grad_y.numel():
        carried = scan.zeros(*s.state_shape)
        if grad_last is not None:
            carried.copy_(grad_last)
        adjoint = carried if scan.segments == 1 else scan.zeros(scan.segments, *s.state_shape)
        slots = scan.segments * scan.blocks * scan.sequences
        scratch = scan.empty(slots, CHUNK // BACKWARD['TILE'] - 1, s.states, BLOCK)
        with torch.cuda.device_of(s.u):
            if scan.segments > 1:
                total = scan.totals()
                scan_kernels.scan_adjoint[scan.grid](
                    *scan.arguments, grad_y, adjoint, total, **scan.options
                )
                scan.combine(adjoint, total, carried, reverse=True)
            scan_kernels.scan_backward[scan.grid](
                *scan.arguments, grad_y, kept, adjoint, scratch,
                grad_u, grad_delta, grad_A, grad_BC, grad_D, grad_bias, **(scan.options | BACKWARD),
            )  # fmt: skip
    else:
        grad_BC.zero_()
    grad_C, grad_B = (parts.sum(0) for parts in grad_BC)
    return ScanGradients(
        grad_u,
        grad_delta,
        grad_A.sum((0, 1)).mT,
        grad_B,
        grad_C,
        grad_D.sum((0, 1)),
        grad_bias.sum((0, 1)),
    )


class _Scan:
    """A scan's tensors as the kernels take them, and how its work is divided."""

    def __init__(self, s: ScanInputs):
        self.dtype, self.device = s.dtype, s.u.device
        self.sequences = s.batch * s.paths
        self.blocks = triton.cdiv(s.channels, BLOCK)
        self.chunks = triton.cdiv(s.length, CHUNK)
        self.segment_chunks = segment_chunks(self.chunks, self.sequences * self.blocks, self.device)
        self.segments = max(1, triton.cdiv(self.chunks, self.segment_chunks))
        self.grid = (self.sequences, self.blocks, self.segments)
        self.of_totals = (self.segments, s.batch, s.paths, s.channels)

        delta, weight = s.delta, s.delta_weight
        if s.rank > MAX_RANK:
            delta, weight = delta @ weight.to(delta.dtype).mT, None
        (delta, delta_row), (B, B_row), (C, C_row) = rows(delta), rows(s.B), rows(s.C)
        self.A, A_path = _parameter(s.A.mT.to(self.dtype) * LOG2_E, 2, self.dtype)
        D, D_path = _parameter(s.D, 1, self.dtype)
        bias, bias_path = _parameter(s.delta_bias, 1, self.dtype)
        weight, weight_path = _parameter(None if weight is None else weight.mT, 2, self.dtype)
        rank = 0 if weight is None else weight.shape[-2]
        states, ranks = math.gcd(s.states, 2), math.gcd(rank, 4)
        self.arguments = (
            s.u.contiguous(), delta, self.A, B, C, D, bias, weight,
            None if s.orders is None else s.orders.contiguous(),
            s.length, self.segment_chunks * CHUNK, self.sequences, self.blocks,
            s.paths, s.channels, s.states, rank,
            delta_row, B_row, C_row, A_path, D_path, bias_path, weight_path,
        )  # fmt: skip
        self.options = dict(
            ORDERED=s.orders is not None,
            ONE_U=s.one_u,
            SKIP=D is not None,
            BIAS=bias is not None,
            LOW_RANK=weight is not None,
            SOFTPLUS=s.delta_softplus,
            CHUNK=CHUNK,
            TILE=TILE,
            BLOCK=BLOCK,
            STATES=states,
            RANKS=ranks,
            PACKED=_packed(B, B_row) and _packed(C, C_row) and _packed(delta, delta_row),
            DTYPE=DTYPES[self.dtype],
            **SCAN,
        )
        self.of_combine = (s.paths, s.channels, s.states, A_path)

    def combine(self, state: Tensor, total: Tensor, carried: Tensor, reverse: bool) -> None:
        """Replace each segment's effect by the state that enters it; ``carried`` enters the first."""
        scan_kernels.scan_combine[(self.sequences, self.blocks, self.of_combine[2])](
            state, total, self.A, carried, self.segments, self.sequences, *self.of_combine,
            REVERSE=reverse, TILE=TILE, BLOCK=BLOCK, **WARP,
        )  # fmt: skip

    def totals(self) -> Tensor:
        return self.empty(*self.of_totals)

    def empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


def _parameter(x: Tensor | None, axes: int, dtype: torch.dtype) -> tuple[Tensor | None, int]:
    """A parameter in the computing dtype, and how far apart those of two orders lie: 0 if shared."""
    if x is None:
        return None, 0
    x = x.to(dtype).contiguous()
    return x, x.stride(0) if x.dim() > axes else 0


def _packed(x: Tensor, row: int) -> bool:
    """Whether two neighbours of 16 bits can be read as one of 32, which must be aligned."""
    return x.element_size() == 2 and x.data_ptr() % 4 == 0 and row % 2 == 0


def segment_chunks(chunks: int, programs: int, device: torch.device) -> int:
    """Chunks of a segment: one segment where the programs of whole sequences fill the device."""
    enough = 16 * _processors(device)
    segments = min(chunks, triton.cdiv(enough, max(1, programs)))
    # a cut costs the exponentials of the forward once more
    return max(1, chunks) if segments < 4 else triton.cdiv(chunks, segments)


@cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == 'cuda' else 1


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor, activation: bool
) -> Tensor:
    """As :func:`rsmamba_mm.ops.backends.torch_chunked.conv_forward`."""
    batch, length, channels = x.shape
    paths = len(orders)
    y = x.new_empty(batch, paths, length, channels)
    if y.numel() == 0:
        return y
    dtype = compute_dtype(x)
    x, row = rows(x)
    taps = weight.shape[-1]
    (weight, weight_path), (bias, bias_path) = _parameter(weight.mT, 2, dtype), _parameter(bias, 1, dtype)
    tiles = triton.cdiv(length, PATCH['TILE'])
    with torch.cuda.device_of(x):
        conv_kernels.conv_forward[(batch * paths * tiles, triton.cdiv(channels, PATCH['BLOCK']))](
            x, weight, bias, orders.contiguous(), y,
            length, tiles, paths, channels, row, weight_path, bias_path,
            TAPS=taps, BIAS=bias is not None, SILU=activation, DTYPE=DTYPES[dtype], **PATCH,
        )  # fmt: skip
    return y


def conv_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    orders: Tensor,
    activation: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As :func:`rsmamba_mm.ops.backends.torch_chunked.conv_backward`."""
    batch, length, channels = x.shape
    paths, taps = len(orders), weight.shape[-1]
    dtype = compute_dtype(x)
    grad_x, grad_pre = x.new_empty(x.shape), x.new_empty(grad_y.shape)
    segments = triton.cdiv(length, CONV_STEPS)
    parts = torch.zeros(batch, paths, segments, taps + 1, channels, dtype=dtype, device=x.device)
    if grad_y.numel():
        orders = orders.contiguous()
        x, row = rows(x)
        (weight, weight_path), (bias, bias_path) = (
            _parameter(weight.mT, 2, dtype),
            _parameter(bias, 1, dtype),
        )
        blocks, tiles = triton.cdiv(channels, PATCH['BLOCK']), triton.cdiv(length, PATCH['TILE'])
        common = dict(TAPS=taps, DTYPE=DTYPES[dtype], **PATCH)
        with torch.cuda.device_of(x):
            conv_kernels.conv_backward_pre[(batch * paths * segments, blocks)](
                grad_y.contiguous(), x, weight, bias, orders,
                grad_pre, parts,
                length, CONV_STEPS, segments, paths, channels, row, weight_path, bias_path,
                BIAS=bias is not None, SILU=activation, **common,
            )  # fmt: skip
            conv_kernels.conv_backward_x[(batch * tiles, blocks)](
                grad_pre, weight, orders, invert_orders(orders), grad_x,
                length, tiles, paths, channels, weight_path, **common,
            )  # fmt: skip
    sums = parts.sum((0, 2))
    return grad_x, sums[:, :taps].mT, None if bias is None else sums[:, taps]


def pool_forward(y: Tensor, z: Tensor) -> Tensor:
    """As :func:`rsmamba_mm.ops.backends.reference.pool`."""
    gate = _Gate(y, z)
    sums = gate.zeros(gate.batch, gate.tiles, gate.paths, gate.channels)
    gate.launch(path_kernels.pool_forward, gate.y, gate.z, sums)
    return (sums.sum(1) / gate.length).to(y.dtype)


def pool_backward(grad: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of (y, z)."""
    gate = _Gate(y, z)
    grad_y, grad_z = y.new_empty(y.shape), z.new_empty(z.shape)
    share = (grad.to(gate.dtype) / gate.length).contiguous()
    gate.launch(path_kernels.pool_backward, share, gate.y, gate.z, grad_y, grad_z)
    return grad_y, grad_z


def merge_forward(y: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    """As :func:`rsmamba_mm.ops.backends.reference.merge`."""
    gate = _Gate(y, z)
    out = y.new_empty(z.shape)
    gate.launch(path_kernels.merge_forward, gate.y, gate.z, weights.to(gate.dtype).contiguous(), out)
    return out


def merge_backward(grad: Tensor, y: Tensor, z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of (y, z, weights)."""
    gate = _Gate(y, z)
    grad_y, grad_z = y.new_empty(y.shape), z.new_empty(z.shape)
    parts = gate.zeros(gate.batch, gate.tiles, gate.blocks, gate.paths)
    dense = weights.to(gate.dtype).contiguous()
    outputs = (grad_y, grad_z, parts)
    gate.launch(
        path_kernels.merge_backward, grad.contiguous(), gate.y, gate.z, dense, *outputs, blocks=gate.blocks
    )
    return grad_y, grad_z, parts.sum((1, 2)).to(weights.dtype)


class _Gate:
    """Outputs of the paths and the gate as the kernels take them."""

    def __init__(self, y, z):
        self.batch, self.paths, self.length, self.channels = y.shape
        self.dtype, self.device = compute_dtype(y), y.device
        self.y, (self.z, self.row) = y.contiguous(), rows(z)
        self.tiles = triton.cdiv(self.length, PATCH['TILE'])
        self.blocks = triton.cdiv(self.channels, PATCH['BLOCK'])

    def zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def launch(self, kernel, *tensors: Tensor, **sizes: int) -> None:
        if self.y.numel() == 0:
            return
        sizes |= dict(
            length=self.length, segments=self.tiles, paths=self.paths, E=self.channels, row=self.row
        )
        with torch.cuda.device_of(self.y):
            kernel[(self.batch * self.tiles, self.blocks)](
                *tensors, **sizes, DTYPE=DTYPES[self.dtype], **PATCH
            )
