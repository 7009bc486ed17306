"""Triton kernels of the scan.

One program is one warp; it owns ``BLOCK`` channels of one order of one sequence, two neighbours to a
thread, and walks the sequence in tiles of ``TILE`` steps. A tile's rows are read through the order's index
and stay in registers, a tuple of vectors, while the states pass by one after the other. So registers do not
grow with the number of states, the recurrence runs within a thread, and threads exchange nothing but the
sums over channels in the backward.

Between two tiles the state ``(N, E)`` passes through memory, that is through the cache, and the barrier of
one warp.

Exponentials are powers of two: ``A`` comes multiplied by ``log2(e)``.
"""

import triton
import triton.language as tl

from . import tile
from .tile import RUNTIME


@triton.jit(do_not_specialize=RUNTIME)
def scan_forward(
    u,  # (B, K or 1, L, E)
    delta,  # (B, K, L, E or R), rows `delta_row` apart
    A,  # (K or 1, N, E), times log2(e)
    B,  # (B, K, L, N), rows `B_row` apart
    C,
    D,  # (K or 1, E)
    bias,  # (K or 1, E)
    weight,  # (K or 1, R, E)
    orders,  # (K, L)
    length,
    steps,  # of a segment
    sequences,  # B * K
    blocks,
    paths,
    E,
    N,
    rank,
    delta_row,
    B_row,
    C_row,
    A_path,  # distance between the parameters of two orders, 0 if they share them
    D_path,
    bias_path,
    weight_path,
    y,  # (B, K, L, E)
    state,  # (segments, B, K, N, E): before each segment; after it on return
    kept,  # (chunks, B, K, N, E)
    total,  # (segments, B, K, E): sum of the step sizes
    ORDERED: tl.constexpr,
    ONE_U: tl.constexpr,
    SKIP: tl.constexpr,
    BIAS: tl.constexpr,
    LOW_RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    STATES: tl.constexpr,  # of N in a turn of the loop over them
    RANKS: tl.constexpr,  # of `rank`
    PACKED: tl.constexpr,  # read two neighbours of delta, B and C at once
    DTYPE: tl.constexpr,
    OUTPUT: tl.constexpr,  # write y; else the state after the segment and the sum of its steps alone
    KEEP: tl.constexpr,
):
    sequence = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    segment = tl.program_id(2).to(tl.int64)
    path = sequence % paths
    inside = channels < E
    first = tl.program_id(2) * steps
    last = tl.minimum(first + steps, length)

    u += (sequence // paths if ONE_U else sequence) * length * E
    y += sequence * length * E
    delta += sequence * length * delta_row
    B += sequence * length * B_row
    C += sequence * length * C_row
    A += path * A_path
    if ORDERED:
        orders += path * length
    if LOW_RANK:
        weight += path * weight_path
    if BIAS:
        bias += path * bias_path
    state += (segment * sequences + sequence) * N * E
    kept += sequence * N * E
    states = sequences.to(tl.int64) * N * E
    if SKIP:
        skip = tl.load(D + path * D_path + channels, mask=inside, other=0.0)
    summed = tl.zeros((BLOCK,), DTYPE)

    for start in range(first, last, TILE):
        tokens = tile.tokens(orders, start, last, TILE, ORDERED)
        sizes = tile.step_sizes(
            delta, delta_row, weight, rank, bias, tokens, channels, inside, start, last, E,
            TILE, BLOCK, RANKS, PACKED, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
        )  # fmt: skip
        inputs = tile.rows(u, tokens, E, channels, inside, start, last, TILE, DTYPE)
        drives = tile.products(sizes, inputs, TILE)
        out = tile.zeros(TILE, BLOCK, DTYPE)
        if SKIP:
            out = ()
            for j in tl.static_range(TILE):
                out = out + (inputs[j] * skip,)
        chunk = start // CHUNK * states
        opens_chunk = inside & (start % CHUNK == 0)
        B_rows = tile.starts(tokens, B_row, TILE)
        if OUTPUT:
            C_rows = tile.starts(tokens, C_row, TILE)
        for n in range(0, N, STATES):
            b = tile.columns(B, B_rows, n, TILE, STATES, PACKED, DTYPE)
            if OUTPUT:
                c = tile.columns(C, C_rows, n, TILE, STATES, PACKED, DTYPE)
            for k in tl.static_range(STATES):
                place = (n + k) * E + channels
                exponent = tl.load(A + place, mask=inside, other=0.0)
                h = tl.load(state + place, mask=inside, other=0.0)
                if KEEP:
                    tl.store(kept + chunk + place, h, mask=opens_chunk)
                added = ()
                for j in tl.static_range(TILE):
                    h = tl.exp2(sizes[j] * exponent) * h + drives[j] * b[j][k]
                    if OUTPUT:
                        added = added + (out[j] + h * c[j][k],)
                if OUTPUT:
                    out = added
                tl.store(state + place, h, mask=inside)
        tl.debug_barrier()
        if OUTPUT:
            tile.write_rows(y, out, tokens, E, channels, inside, start, last, TILE)
        else:
            for j in tl.static_range(TILE):
                summed += sizes[j]
    if not OUTPUT:
        tl.store(total + (segment * sequences + sequence) * E + channels, summed, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def scan_adjoint(
    u,
    delta,
    A,
    B,
    C,
    D,
    bias,
    weight,
    orders,
    length,
    steps,
    sequences,
    blocks,
    paths,
    E,
    N,
    rank,
    delta_row,
    B_row,
    C_row,
    A_path,
    D_path,
    bias_path,
    weight_path,
    grad_y,  # (B, K, L, E)
    adjoint,  # (segments, B, K, N, E): zeros; what each segment hands to the one before it on return
    total,  # (segments, B, K, E)
    ORDERED: tl.constexpr,
    ONE_U: tl.constexpr,
    SKIP: tl.constexpr,
    BIAS: tl.constexpr,
    LOW_RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    STATES: tl.constexpr,  # of N in a turn of the loop over them
    RANKS: tl.constexpr,  # of `rank`
    PACKED: tl.constexpr,  # read two neighbours of delta, B and C at once
    DTYPE: tl.constexpr,
):
    """The adjoint of the state through each segment, from zero behind it."""
    sequence = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    segment = tl.program_id(2).to(tl.int64)
    path = sequence % paths
    inside = channels < E
    first = tl.program_id(2) * steps
    last = tl.minimum(first + steps, length)

    grad_y += sequence * length * E
    delta += sequence * length * delta_row
    C += sequence * length * C_row
    A += path * A_path
    if ORDERED:
        orders += path * length
    if LOW_RANK:
        weight += path * weight_path
    if BIAS:
        bias += path * bias_path
    adjoint += (segment * sequences + sequence) * N * E
    summed = tl.zeros((BLOCK,), DTYPE)

    tiles = (last - first + TILE - 1) // TILE
    for i in range(tiles):
        start = first + (tiles - 1 - i) * TILE
        tokens = tile.tokens(orders, start, last, TILE, ORDERED)
        sizes = tile.step_sizes(
            delta, delta_row, weight, rank, bias, tokens, channels, inside, start, last, E,
            TILE, BLOCK, RANKS, PACKED, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
        )  # fmt: skip
        dy = tile.rows(grad_y, tokens, E, channels, inside, start, last, TILE, DTYPE)
        C_rows = tile.starts(tokens, C_row, TILE)
        for n in range(0, N, STATES):
            c = tile.columns(C, C_rows, n, TILE, STATES, PACKED, DTYPE)
            for k in tl.static_range(STATES):
                place = (n + k) * E + channels
                exponent = tl.load(A + place, mask=inside, other=0.0)
                g = tl.load(adjoint + place, mask=inside, other=0.0)
                for j in tl.static_range(TILE - 1, -1, -1):
                    g = tl.exp2(sizes[j] * exponent) * (dy[j] * c[j][k] + g)
                tl.store(adjoint + place, g, mask=inside)
        tl.debug_barrier()
        for j in tl.static_range(TILE):
            summed += sizes[j]
    tl.store(total + (segment * sequences + sequence) * E + channels, summed, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def scan_combine(
    state,  # (segments, B, K, N, E): after each segment from zero; before each segment on return
    total,  # (segments, B, K, E)
    A,
    carried,  # (B, K, N, E): before the first segment; after the last on return
    segments,
    sequences,
    paths,
    E,
    N,
    A_path,
    REVERSE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Carry the state from segment to segment, of one state n each."""
    sequence = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.program_id(2)
    inside = channels < E
    place = (sequence * N + n) * E + channels
    exponent = tl.load(A + (sequence % paths) * A_path + n * E + channels, mask=inside, other=0.0)
    h = tl.load(carried + place, mask=inside, other=0.0)
    sizes = sequences.to(tl.int64) * E
    states = sizes * N
    for start in range(0, segments, TILE):
        decays, ends = (), ()
        for j in tl.static_range(TILE):
            i = segments - 1 - start - j if REVERSE else start + j
            there = inside & (start + j < segments)
            size = tl.load(
                total + (i * sequences.to(tl.int64) + sequence) * E + channels, mask=there, other=0.0
            )
            end = tl.load(state + i * states + place, mask=there, other=0.0)
            decays, ends = decays + (tl.exp2(size * exponent),), ends + (end,)
        for j in tl.static_range(TILE):
            i = segments - 1 - start - j if REVERSE else start + j
            tl.store(state + i * states + place, h, mask=inside & (start + j < segments))
            h = decays[j] * h + ends[j]
    tl.store(carried + place, h, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def scan_backward(
    u,
    delta,
    A,
    B,
    C,
    D,
    bias,
    weight,
    orders,
    length,
    steps,
    sequences,
    blocks,
    paths,
    E,
    N,
    rank,
    delta_row,
    B_row,
    C_row,
    A_path,
    D_path,
    bias_path,
    weight_path,
    grad_y,  # (B, K, L, E)
    kept,  # (chunks, B, K, N, E)
    adjoint,  # (segments, B, K, N, E): what enters each segment from behind
    scratch,  # (segments, blocks, B, K, CHUNK / TILE - 1, N, BLOCK)
    grad_u,  # (B, K, L, E)
    grad_delta,  # (B, K, L, E), of the projected steps
    grad_A,  # (segments, B, K, N, E), zeros
    grad_BC,  # (2, blocks, B, K, L, N): of C, then of B
    grad_D,  # (segments, B, K, E)
    grad_bias,  # (segments, B, K, E)
    ORDERED: tl.constexpr,
    ONE_U: tl.constexpr,
    SKIP: tl.constexpr,
    BIAS: tl.constexpr,
    LOW_RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    STATES: tl.constexpr,  # of N in a turn of the loop over them
    RANKS: tl.constexpr,  # of `rank`
    PACKED: tl.constexpr,  # read two neighbours of delta, B and C at once
    DTYPE: tl.constexpr,
):
    """All gradients: each chunk's states are computed again from the kept one, then the adjoint runs back.

    Sums over the channels of a program, the segments and the batch are left to one more reduction, so
    that their order is always the same.
    """
    sequence = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1).to(tl.int64)
    segment = tl.program_id(2).to(tl.int64)
    lanes = tl.arange(0, BLOCK)
    threads = tl.arange(0, BLOCK // 2)
    channels = tl.program_id(1) * BLOCK + lanes
    path = sequence % paths
    inside = channels < E
    first = tl.program_id(2) * steps
    last = tl.minimum(first + steps, length)

    u += (sequence // paths if ONE_U else sequence) * length * E
    grad_y += sequence * length * E
    grad_u += sequence * length * E
    grad_delta += sequence * length * E
    delta += sequence * length * delta_row
    B += sequence * length * B_row
    C += sequence * length * C_row
    grad_BC += (block * sequences + sequence) * length * N
    of_B = blocks * sequences.to(tl.int64) * length * N
    A += path * A_path
    if ORDERED:
        orders += path * length
    if LOW_RANK:
        weight += path * weight_path
    if BIAS:
        bias += path * bias_path
    kept += sequence * N * E + tl.program_id(1) * BLOCK
    states = sequences.to(tl.int64) * N * E
    part = segment * sequences + sequence
    adjoint += part * N * E
    grad_A += part * N * E
    scratch += ((segment * blocks + block) * sequences + sequence) * (CHUNK // TILE - 1) * N * BLOCK
    if SKIP:
        skip = tl.load(D + path * D_path + channels, mask=inside, other=0.0)
    skip_sum = tl.zeros((BLOCK,), DTYPE)
    bias_sum = tl.zeros((BLOCK,), DTYPE)

    chunks = (last - first + CHUNK - 1) // CHUNK
    for turn in range(chunks):
        begin = first + (chunks - 1 - turn) * CHUNK
        end = tl.minimum(begin + CHUNK, last)
        tiles = (end - begin + TILE - 1) // TILE
        before = kept + begin // CHUNK * states

        # the state before each tile: slot i of the scratch is that before tile i + 1
        for i in range(tiles - 1):
            start = begin + i * TILE
            tokens = tile.tokens(orders, start, end, TILE, ORDERED)
            sizes = tile.step_sizes(
                delta, delta_row, weight, rank, bias, tokens, channels, inside, start, end, E,
                TILE, BLOCK, RANKS, PACKED, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
            )  # fmt: skip
            drives = tile.products(
                sizes, tile.rows(u, tokens, E, channels, inside, start, end, TILE, DTYPE), TILE
            )
            B_rows = tile.starts(tokens, B_row, TILE)
            source, row = tile.entering(before, E, scratch, i, N, BLOCK)
            target = scratch + i * N * BLOCK
            for n in range(0, N, STATES):
                b = tile.columns(B, B_rows, n, TILE, STATES, PACKED, DTYPE)
                for k in tl.static_range(STATES):
                    exponent = tl.load(A + (n + k) * E + channels, mask=inside, other=0.0)
                    h = tl.load(source + (n + k) * row + lanes, mask=inside, other=0.0)
                    for j in tl.static_range(TILE):
                        h = tl.exp2(sizes[j] * exponent) * h + drives[j] * b[j][k]
                    tl.store(target + (n + k) * BLOCK + lanes, h, mask=inside)
            tl.debug_barrier()

        for t in range(tiles):
            i = tiles - 1 - t
            start = begin + i * TILE
            tokens = tile.tokens(orders, start, end, TILE, ORDERED)
            sizes = tile.step_sizes(
                delta, delta_row, weight, rank, bias, tokens, channels, inside, start, end, E,
                TILE, BLOCK, RANKS, PACKED, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
            )  # fmt: skip
            inputs = tile.rows(u, tokens, E, channels, inside, start, end, TILE, DTYPE)
            drives = tile.products(sizes, inputs, TILE)
            dy = tile.rows(grad_y, tokens, E, channels, inside, start, end, TILE, DTYPE)
            d_drives = tile.zeros(TILE, BLOCK, DTYPE)
            d_exponents = tile.zeros(TILE, BLOCK, DTYPE)
            B_rows, C_rows = tile.starts(tokens, B_row, TILE), tile.starts(tokens, C_row, TILE)
            source, row = tile.entering(before, E, scratch, i, N, BLOCK)
            # thread j writes the sum for C at step j, and behind these come those for B
            step = threads % TILE
            there = (threads < 2 * TILE) & (start + step < end)
            sums = grad_BC + threads // TILE * of_B + tile.chosen(tokens, step, TILE) * N
            for n in range(0, N, STATES):
                b = tile.columns(B, B_rows, n, TILE, STATES, PACKED, DTYPE)
                c = tile.columns(C, C_rows, n, TILE, STATES, PACKED, DTYPE)
                for k in tl.static_range(STATES):
                    place = (n + k) * E + channels
                    exponent = tl.load(A + place, mask=inside, other=0.0)
                    h = tl.load(source + (n + k) * row + lanes, mask=inside, other=0.0)
                    decays, decayed, for_C, for_B = (), (), (), ()
                    for j in tl.static_range(TILE):
                        decay = tl.exp2(sizes[j] * exponent)
                        decays, decayed = decays + (decay,), decayed + (decay * h,)
                        h = decayed[j] + drives[j] * b[j][k]
                        for_C = for_C + (h * dy[j],)
                    g = tl.load(adjoint + place, mask=inside, other=0.0)
                    d_A = tl.load(grad_A + place, mask=inside, other=0.0)
                    new_drives, new_exponents = (), ()
                    for j in tl.static_range(TILE - 1, -1, -1):
                        g += dy[j] * c[j][k]
                        for_B = (g * drives[j],) + for_B
                        through_decay = g * decayed[j]
                        new_drives = (d_drives[j] + g * b[j][k],) + new_drives
                        new_exponents = (d_exponents[j] + through_decay * exponent,) + new_exponents
                        d_A += through_decay * sizes[j]
                        g *= decays[j]
                    d_drives, d_exponents = new_drives, new_exponents
                    tl.store(adjoint + place, g, mask=inside)
                    tl.store(grad_A + place, d_A, mask=inside)
                    tl.store(sums + n + k, tile.sums(for_C + for_B, threads, 2 * TILE, BLOCK), mask=there)
            tl.debug_barrier()

            d_inputs, d_sizes = (), ()
            for j in tl.static_range(TILE):
                d_input = d_drives[j] * sizes[j]
                # exponents are of two
                d_size = d_exponents[j] * 0.6931471805599453 + d_drives[j] * inputs[j]
                if SKIP:
                    d_input += dy[j] * skip
                    skip_sum += dy[j] * inputs[j]
                if SOFTPLUS:
                    d_size *= tile.softplus_slope(sizes[j])
                bias_sum += tl.where(start + j < end, d_size, 0.0)
                d_inputs, d_sizes = d_inputs + (d_input,), d_sizes + (d_size,)
            tile.write_rows(grad_u, d_inputs, tokens, E, channels, inside, start, end, TILE)
            tile.write_rows(grad_delta, d_sizes, tokens, E, channels, inside, start, end, TILE)
    if SKIP:
        tl.store(grad_D + part * E + channels, skip_sum, mask=inside)
    if BIAS:
        tl.store(grad_bias + part * E + channels, bias_sum, mask=inside)
