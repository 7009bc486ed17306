"""Triton kernels of the causal convolution: a program owns a patch of steps and channels."""

import triton
import triton.language as tl

from . import tile
from .tile import RUNTIME


@triton.jit
def _convolve(
    x,
    weight,
    bias,
    orders,
    steps,
    channels,
    inside,
    length,
    row,
    E,
    TAPS: tl.constexpr,
    BIAS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Convolution of a tile ``(TILE, BLOCK)`` of steps and channels, and the inputs of each tap."""
    pre = tl.zeros((TILE, BLOCK), DTYPE)
    if BIAS:
        pre += tl.load(bias + channels, mask=inside, other=0.0)[None, :]
    read = ()
    for j in tl.static_range(TAPS):
        step = steps - (TAPS - 1 - j)
        there = (step >= 0) & (step < length)
        here = there[:, None] & inside[None, :]
        token = tl.load(orders + step, mask=there, other=0)
        value = tl.load(x + token[:, None] * row + channels[None, :], mask=here, other=0.0).to(DTYPE)
        pre += value * tl.load(weight + j * E + channels, mask=inside, other=0.0)[None, :]
        read = read + (value,)
    return pre, read


@triton.jit(do_not_specialize=RUNTIME)
def conv_forward(
    x,  # (B, L, E), rows `row` apart
    weight,  # (K or 1, W, E)
    bias,  # (K or 1, E)
    orders,  # (K, L)
    y,  # (B, K, L, E)
    length,
    segments,
    paths,
    E,
    row,
    weight_path,  # distance between the parameters of two orders, 0 if they share them
    bias_path,
    TAPS: tl.constexpr,
    BIAS: tl.constexpr,
    SILU: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    steps = tl.program_id(0) % segments * TILE + tl.arange(0, TILE)
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channels < E
    path = sequence % paths
    orders += path * length
    weight += path * weight_path
    if BIAS:
        bias += path * bias_path
    pre, _ = _convolve(
        x + sequence // paths * length * row, weight, bias, orders, steps, channels, inside, length, row, E,
        TAPS, BIAS, TILE, BLOCK, DTYPE,
    )  # fmt: skip
    token = tl.load(orders + steps, mask=steps < length, other=0)
    place = (sequence * length + token[:, None]) * E + channels[None, :]
    tl.store(y + place, tile.silu(pre) if SILU else pre, mask=(steps < length)[:, None] & inside[None, :])


@triton.jit(do_not_specialize=RUNTIME)
def conv_backward_pre(
    grad_y,  # (B, K, L, E)
    x,
    weight,
    bias,
    orders,
    grad_pre,  # (B, K, L, E): before the activation
    grad_weight,  # (B, K, segments, W + 1, E); the last of W + 1 is the bias's
    length,
    steps,  # of a segment
    segments,
    paths,
    E,
    row,
    weight_path,
    bias_path,
    TAPS: tl.constexpr,
    BIAS: tl.constexpr,
    SILU: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    sequence = (tl.program_id(0) // segments).to(tl.int64)
    first = tl.program_id(0) % segments * steps
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channels < E
    path = sequence % paths
    orders += path * length
    weight += path * weight_path
    if BIAS:
        bias += path * bias_path
    x += sequence // paths * length * row
    bias_sum = tl.zeros((TILE, BLOCK), DTYPE)
    sums = ()
    for _ in tl.static_range(TAPS):
        sums = sums + (tl.zeros((TILE, BLOCK), DTYPE),)
    for start in range(first, tl.minimum(first + steps, length), TILE):
        now = start + tl.arange(0, TILE)
        pre, read = _convolve(
            x, weight, bias, orders, now, channels, inside, length, row, E, TAPS, BIAS, TILE, BLOCK, DTYPE
        )
        there = (now < length)[:, None] & inside[None, :]
        token = tl.load(orders + now, mask=now < length, other=0)
        place = (sequence * length + token[:, None]) * E + channels[None, :]
        g = tl.load(grad_y + place, mask=there, other=0.0).to(DTYPE)
        if SILU:
            g *= tile.silu_slope(pre)
        tl.store(grad_pre + place, g, mask=there)
        bias_sum += g
        new = ()
        for j in tl.static_range(TAPS):
            new = new + (sums[j] + g * read[j],)
        sums = new
    grad_weight += tl.program_id(0).to(tl.int64) * (TAPS + 1) * E + channels
    for j in tl.static_range(TAPS):
        tl.store(grad_weight + j * E, tl.sum(sums[j], 0), mask=inside)
    tl.store(grad_weight + TAPS * E, tl.sum(bias_sum, 0), mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def conv_backward_x(
    grad_pre,  # (B, K, L, E)
    weight,
    orders,
    inverse,  # (K, L): the step at which each token is read
    grad_x,  # (B, L, E)
    length,
    segments,
    paths,
    E,
    weight_path,
    TAPS: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Each token gathers from the steps that have read it: nothing is added twice, nothing waits."""
    batch = (tl.program_id(0) // segments).to(tl.int64)
    tokens = tl.program_id(0) % segments * TILE + tl.arange(0, TILE)
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channels < E
    total = tl.zeros((TILE, BLOCK), DTYPE)
    for k in range(paths):
        step = tl.load(inverse + k * length + tokens, mask=tokens < length, other=length)
        base = grad_pre + (batch * paths + k) * length * E
        own = weight + k * weight_path
        for j in tl.static_range(TAPS):
            there = step + j < length
            here = there[:, None] & inside[None, :]
            token = tl.load(orders + k * length + step + j, mask=there, other=0)
            g = tl.load(base + token[:, None] * E + channels[None, :], mask=here, other=0.0).to(DTYPE)
            total += g * tl.load(own + (TAPS - 1 - j) * E + channels, mask=inside, other=0.0)[None, :]
    place = (batch * length + tokens[:, None]) * E + channels[None, :]
    tl.store(grad_x + place, total, mask=(tokens < length)[:, None] & inside[None, :])
