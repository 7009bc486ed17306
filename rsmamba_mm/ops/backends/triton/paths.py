"""Triton kernels of the gate: pooling and merging of the scanned paths."""

import triton
import triton.language as tl

from . import tile
from .tile import RUNTIME


@triton.jit
def _gate_tile(z, row, length, E, segments, TILE: tl.constexpr, BLOCK: tl.constexpr, DTYPE: tl.constexpr):
    """Where a program of the gate stands, its mask, and the gate's argument there."""
    batch = (tl.program_id(0) // segments).to(tl.int64)
    tokens = tl.program_id(0) % segments * TILE + tl.arange(0, TILE)
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = (tokens < length)[:, None] & (channels < E)[None, :]
    argument = tl.load(
        z + (batch * length + tokens[:, None]) * row + channels[None, :], mask=there, other=0.0
    ).to(DTYPE)
    return batch, tokens.to(tl.int64)[:, None] * E + channels[None, :], channels, there, argument


@triton.jit(do_not_specialize=RUNTIME)
def pool_forward(
    y,  # (B, K, L, E)
    z,  # (B, L, E), rows `row` apart
    sums,  # (B, segments, K, E)
    length,
    segments,
    paths,
    E,
    row,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    batch, place, channels, there, argument = _gate_tile(z, row, length, E, segments, TILE, BLOCK, DTYPE)
    gate = tile.silu(argument)
    for k in range(paths):
        value = tl.load(y + (batch * paths + k) * length * E + place, mask=there, other=0.0).to(DTYPE)
        out = sums + (tl.program_id(0).to(tl.int64) * paths + k) * E + channels
        tl.store(out, tl.sum(value * gate, 0), mask=channels < E)


@triton.jit(do_not_specialize=RUNTIME)
def pool_backward(
    grad,  # (B, K, E), divided by L
    y,
    z,
    grad_y,  # (B, K, L, E)
    grad_z,  # (B, L, E)
    length,
    segments,
    paths,
    E,
    row,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    batch, place, channels, there, argument = _gate_tile(z, row, length, E, segments, TILE, BLOCK, DTYPE)
    gate = tile.silu(argument)
    total = tl.zeros((TILE, BLOCK), DTYPE)
    for k in range(paths):
        base = (batch * paths + k) * length * E
        g = tl.load(grad + (batch * paths + k) * E + channels, mask=channels < E, other=0.0)[None, :]
        total += g * tl.load(y + base + place, mask=there, other=0.0).to(DTYPE)
        tl.store(grad_y + base + place, g * gate, mask=there)
    tl.store(grad_z + batch * length * E + place, total * tile.silu_slope(argument), mask=there)


@triton.jit(do_not_specialize=RUNTIME)
def merge_forward(
    y,
    z,
    weights,  # (B, K)
    out,  # (B, L, E)
    length,
    segments,
    paths,
    E,
    row,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    batch, place, _, there, argument = _gate_tile(z, row, length, E, segments, TILE, BLOCK, DTYPE)
    total = tl.zeros((TILE, BLOCK), DTYPE)
    for k in range(paths):
        value = tl.load(y + (batch * paths + k) * length * E + place, mask=there, other=0.0).to(DTYPE)
        total += value * tl.load(weights + batch * paths + k)
    tl.store(out + batch * length * E + place, total * tile.silu(argument), mask=there)


@triton.jit(do_not_specialize=RUNTIME)
def merge_backward(
    grad,  # (B, L, E)
    y,
    z,
    weights,
    grad_y,
    grad_z,
    grad_weights,  # (B, segments, blocks, K)
    length,
    segments,
    blocks,
    paths,
    E,
    row,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    DTYPE: tl.constexpr,
):
    batch, place, _, there, argument = _gate_tile(z, row, length, E, segments, TILE, BLOCK, DTYPE)
    g = tl.load(grad + batch * length * E + place, mask=there, other=0.0).to(DTYPE)
    gated = g * tile.silu(argument)
    total = tl.zeros((TILE, BLOCK), DTYPE)
    grad_weights += (tl.program_id(0).to(tl.int64) * blocks + tl.program_id(1)) * paths
    for k in range(paths):
        base = (batch * paths + k) * length * E
        weight = tl.load(weights + batch * paths + k)
        value = tl.load(y + base + place, mask=there, other=0.0).to(DTYPE)
        total += weight * value
        tl.store(grad_y + base + place, gated * weight, mask=there)
        tl.store(grad_weights + k, tl.sum(tl.sum(gated * value, 1), 0))
    tl.store(grad_z + batch * length * E + place, g * total * tile.silu_slope(argument), mask=there)
