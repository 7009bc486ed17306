"""Triton kernels of the scan, the causal convolution and the gate, launched by the ``triton`` backend.

One program of the scan is one warp; it owns ``BLOCK`` channels of one order of one sequence, two
neighbours to a thread, and walks the sequence in tiles of ``TILE`` steps. A tile's rows are read through
the order's index and stay in registers, a tuple of vectors, while the states pass by one after the
other. So registers do not grow with the number of states, the recurrence runs within a thread, and
threads exchange nothing but the sums over channels in the backward.

Between two tiles the state ``(N, E)`` passes through memory, that is through the cache, and the barrier of
one warp.

Exponentials are powers of two: ``A`` comes multiplied by ``log2(e)``.
"""

import triton
import triton.language as tl

# what changes with the size of image or batch: no kernel is compiled anew for it
RUNTIME = ['length', 'steps', 'segments', 'sequences', 'blocks']


# rows and steps of a tile ------------------------------------------------------------------------


@triton.jit
def _softplus(x):
    # no minimum: on a device that of NaN and a number is the number
    e = tl.exp(tl.where(x > 20.0, 20.0, x))
    # log(1 + e), corrected by what the sum 1 + e has rounded away
    rounded = (1.0 + e) - 1.0
    small = rounded == 0.0
    exact = tl.where(small, e, tl.log(1.0 + e) * (e / tl.where(small, 1.0, rounded)))
    return tl.where(x > 20.0, x, exact)


@triton.jit
def _softplus_slope(y):
    """Derivative of softplus from its value, ``1 - exp(-y)``: by its series where that would cancel."""
    series = y * (1.0 - y / 2.0 * (1.0 - y / 3.0 * (1.0 - y / 4.0 * (1.0 - y / 5.0))))
    return tl.where(y < 0.01, series, 1.0 - tl.exp(-y))


@triton.jit
def _number(x, place, DTYPE: tl.constexpr):
    return tl.load(x + place).to(DTYPE)


@triton.jit
def _zeros(TILE: tl.constexpr, BLOCK: tl.constexpr, DTYPE: tl.constexpr):
    rows = ()
    for _ in tl.static_range(TILE):
        rows = rows + (tl.zeros((BLOCK,), DTYPE),)
    return rows


@triton.jit
def _tokens(orders, start, stop, TILE: tl.constexpr, ORDERED: tl.constexpr):
    """Tokens read at the steps of a tile; token 0 past the end."""
    tokens = ()
    for j in tl.static_range(TILE):
        if ORDERED:
            token = tl.load(orders + start + j, mask=start + j < stop, other=0).to(tl.int32)
        else:
            token = tl.where(start + j < stop, start + j, 0)
        tokens = tokens + (token,)
    return tokens


@triton.jit
def _rows(x, tokens, stride, channels, inside, start, stop, TILE: tl.constexpr, DTYPE: tl.constexpr):
    """Rows of a tile; zeros past the end."""
    rows = ()
    for j in tl.static_range(TILE):
        row = tl.load(x + tokens[j] * stride + channels, mask=inside & (start + j < stop), other=0.0)
        rows = rows + (row.to(DTYPE),)
    return rows


@triton.jit
def _write_rows(x, rows, tokens, stride, channels, inside, start, stop, TILE: tl.constexpr):
    for j in tl.static_range(TILE):
        tl.store(x + tokens[j] * stride + channels, rows[j], mask=inside & (start + j < stop))


@triton.jit
def _step_sizes(
    delta,
    delta_row,
    weight,
    rank,
    bias,
    tokens,
    channels,
    inside,
    start,
    stop,
    E,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    LOW_RANK: tl.constexpr,
    BIAS: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Step sizes of a tile; zeros past the end, where a step then changes nothing."""
    if LOW_RANK:
        raw = _zeros(TILE, BLOCK, DTYPE)
        for r in range(rank):
            column = tl.load(weight + r * E + channels, mask=inside, other=0.0)
            summed = ()
            for j in tl.static_range(TILE):
                summed = summed + (raw[j] + column * _number(delta, tokens[j] * delta_row + r, DTYPE),)
            raw = summed
    else:
        raw = _rows(delta, tokens, delta_row, channels, inside, start, stop, TILE, DTYPE)
    if BIAS:
        offset = tl.load(bias + channels, mask=inside, other=0.0)
    sizes = ()
    for j in tl.static_range(TILE):
        size = raw[j]
        if BIAS:
            size = size + offset
        if SOFTPLUS:
            size = _softplus(size)
        sizes = sizes + (tl.where(start + j < stop, size, 0.0),)
    return sizes


@triton.jit
def _products(x, y, TILE: tl.constexpr):
    rows = ()
    for j in tl.static_range(TILE):
        rows = rows + (x[j] * y[j],)
    return rows


# scan --------------------------------------------------------------------------------------------


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
        tokens = _tokens(orders, start, last, TILE, ORDERED)
        sizes = _step_sizes(
            delta, delta_row, weight, rank, bias, tokens, channels, inside, start, last, E,
            TILE, BLOCK, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
        )  # fmt: skip
        inputs = _rows(u, tokens, E, channels, inside, start, last, TILE, DTYPE)
        drives = _products(sizes, inputs, TILE)
        out = _zeros(TILE, BLOCK, DTYPE)
        if SKIP:
            out = ()
            for j in tl.static_range(TILE):
                out = out + (inputs[j] * skip,)
        chunk = start // CHUNK * states
        opens_chunk = inside & (start % CHUNK == 0)
        for n in range(N):
            exponent = tl.load(A + n * E + channels, mask=inside, other=0.0)
            h = tl.load(state + n * E + channels, mask=inside, other=0.0)
            if KEEP:
                tl.store(kept + chunk + n * E + channels, h, mask=opens_chunk)
            added = ()
            for j in tl.static_range(TILE):
                h = tl.exp2(sizes[j] * exponent) * h + drives[j] * tl.load(B + tokens[j] * B_row + n).to(
                    DTYPE
                )
                if OUTPUT:
                    added = added + (out[j] + h * _number(C, tokens[j] * C_row + n, DTYPE),)
            if OUTPUT:
                out = added
            tl.store(state + n * E + channels, h, mask=inside)
        tl.debug_barrier()
        if OUTPUT:
            _write_rows(y, out, tokens, E, channels, inside, start, last, TILE)
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
        tokens = _tokens(orders, start, last, TILE, ORDERED)
        sizes = _step_sizes(
            delta, delta_row, weight, rank, bias, tokens, channels, inside, start, last, E,
            TILE, BLOCK, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
        )  # fmt: skip
        dy = _rows(grad_y, tokens, E, channels, inside, start, last, TILE, DTYPE)
        for n in range(N):
            exponent = tl.load(A + n * E + channels, mask=inside, other=0.0)
            g = tl.load(adjoint + n * E + channels, mask=inside, other=0.0)
            for j in tl.static_range(TILE - 1, -1, -1):
                g = tl.exp2(sizes[j] * exponent) * (dy[j] * _number(C, tokens[j] * C_row + n, DTYPE) + g)
            tl.store(adjoint + n * E + channels, g, mask=inside)
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
    grad_B,  # (blocks, B, K, L, N)
    grad_C,
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
    grad_B += (block * sequences + sequence) * length * N
    grad_C += (block * sequences + sequence) * length * N
    A += path * A_path
    if ORDERED:
        orders += path * length
    if LOW_RANK:
        weight += path * weight_path
    if BIAS:
        bias += path * bias_path
    kept += sequence * N * E
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
    for c in range(chunks):
        begin = first + (chunks - 1 - c) * CHUNK
        end = tl.minimum(begin + CHUNK, last)
        tiles = (end - begin + TILE - 1) // TILE
        before = kept + begin // CHUNK * states

        # the state before each tile: slot i of the scratch is that before tile i + 1
        for i in range(tiles - 1):
            start = begin + i * TILE
            tokens = _tokens(orders, start, end, TILE, ORDERED)
            sizes = _step_sizes(
                delta, delta_row, weight, rank, bias, tokens, channels, inside, start, end, E,
                TILE, BLOCK, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
            )  # fmt: skip
            drives = _products(sizes, _rows(u, tokens, E, channels, inside, start, end, TILE, DTYPE), TILE)
            for n in range(N):
                exponent = tl.load(A + n * E + channels, mask=inside, other=0.0)
                h = tl.load(before + n * E + channels, mask=inside & (i == 0), other=0.0)
                h += tl.load(scratch + ((i - 1) * N + n) * BLOCK + lanes, mask=inside & (i > 0), other=0.0)
                for j in tl.static_range(TILE):
                    h = tl.exp2(sizes[j] * exponent) * h + drives[j] * tl.load(
                        B + tokens[j] * B_row + n
                    ).to(DTYPE)
                tl.store(scratch + (i * N + n) * BLOCK + lanes, h, mask=inside)
            tl.debug_barrier()

        for t in range(tiles):
            i = tiles - 1 - t
            start = begin + i * TILE
            tokens = _tokens(orders, start, end, TILE, ORDERED)
            sizes = _step_sizes(
                delta, delta_row, weight, rank, bias, tokens, channels, inside, start, end, E,
                TILE, BLOCK, LOW_RANK, BIAS, SOFTPLUS, DTYPE,
            )  # fmt: skip
            inputs = _rows(u, tokens, E, channels, inside, start, end, TILE, DTYPE)
            drives = _products(sizes, inputs, TILE)
            dy = _rows(grad_y, tokens, E, channels, inside, start, end, TILE, DTYPE)
            d_drives = _zeros(TILE, BLOCK, DTYPE)
            d_exponents = _zeros(TILE, BLOCK, DTYPE)
            for n in range(N):
                exponent = tl.load(A + n * E + channels, mask=inside, other=0.0)
                h = tl.load(before + n * E + channels, mask=inside & (i == 0), other=0.0)
                h += tl.load(scratch + ((i - 1) * N + n) * BLOCK + lanes, mask=inside & (i > 0), other=0.0)
                decays, decayed = (), ()
                for j in tl.static_range(TILE):
                    decay = tl.exp2(sizes[j] * exponent)
                    decays, decayed = decays + (decay,), decayed + (decay * h,)
                    h = decay * h + drives[j] * _number(B, tokens[j] * B_row + n, DTYPE)
                    tl.store(grad_C + tokens[j] * N + n, tl.sum(h * dy[j], 0), mask=start + j < end)
                g = tl.load(adjoint + n * E + channels, mask=inside, other=0.0)
                d_A = tl.load(grad_A + n * E + channels, mask=inside, other=0.0)
                new_drives, new_exponents = (), ()
                for j in tl.static_range(TILE - 1, -1, -1):
                    g += dy[j] * _number(C, tokens[j] * C_row + n, DTYPE)
                    tl.store(grad_B + tokens[j] * N + n, tl.sum(g * drives[j], 0), mask=start + j < end)
                    through_decay = g * decayed[j]
                    new_drives = (d_drives[j] + g * _number(B, tokens[j] * B_row + n, DTYPE),) + new_drives
                    new_exponents = (d_exponents[j] + through_decay * exponent,) + new_exponents
                    d_A += through_decay * sizes[j]
                    g *= decays[j]
                d_drives, d_exponents = new_drives, new_exponents
                tl.store(adjoint + n * E + channels, g, mask=inside)
                tl.store(grad_A + n * E + channels, d_A, mask=inside)
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
                    d_size *= _softplus_slope(sizes[j])
                bias_sum += tl.where(start + j < end, d_size, 0.0)
                d_inputs, d_sizes = d_inputs + (d_input,), d_sizes + (d_size,)
            _write_rows(grad_u, d_inputs, tokens, E, channels, inside, start, end, TILE)
            _write_rows(grad_delta, d_sizes, tokens, E, channels, inside, start, end, TILE)
    if SKIP:
        tl.store(grad_D + part * E + channels, skip_sum, mask=inside)
    if BIAS:
        tl.store(grad_bias + part * E + channels, bias_sum, mask=inside)


# convolution -------------------------------------------------------------------------------------


@triton.jit
def _silu(x):
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _silu_slope(x):
    sigmoid = 1.0 / (1.0 + tl.exp(-x))
    return sigmoid * (1.0 + x * (1.0 - sigmoid))


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
    weight,  # (W, E)
    bias,  # (E,)
    orders,  # (K, L)
    y,  # (B, K, L, E)
    length,
    segments,
    paths,
    E,
    row,
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
    orders += sequence % paths * length
    pre, _ = _convolve(
        x + sequence // paths * length * row, weight, bias, orders, steps, channels, inside, length, row, E,
        TAPS, BIAS, TILE, BLOCK, DTYPE,
    )  # fmt: skip
    token = tl.load(orders + steps, mask=steps < length, other=0)
    place = (sequence * length + token[:, None]) * E + channels[None, :]
    tl.store(y + place, _silu(pre) if SILU else pre, mask=(steps < length)[:, None] & inside[None, :])


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
    orders += sequence % paths * length
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
            g *= _silu_slope(pre)
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
        for j in tl.static_range(TAPS):
            there = step + j < length
            here = there[:, None] & inside[None, :]
            token = tl.load(orders + k * length + step + j, mask=there, other=0)
            g = tl.load(base + token[:, None] * E + channels[None, :], mask=here, other=0.0).to(DTYPE)
            total += g * tl.load(weight + (TAPS - 1 - j) * E + channels, mask=inside, other=0.0)[None, :]
    place = (batch * length + tokens[:, None]) * E + channels[None, :]
    tl.store(grad_x + place, total, mask=(tokens < length)[:, None] & inside[None, :])


# gate --------------------------------------------------------------------------------------------


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
    gate = _silu(argument)
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
    gate = _silu(argument)
    total = tl.zeros((TILE, BLOCK), DTYPE)
    for k in range(paths):
        base = (batch * paths + k) * length * E
        g = tl.load(grad + (batch * paths + k) * E + channels, mask=channels < E, other=0.0)[None, :]
        total += g * tl.load(y + base + place, mask=there, other=0.0).to(DTYPE)
        tl.store(grad_y + base + place, g * gate, mask=there)
    tl.store(grad_z + batch * length * E + place, total * _silu_slope(argument), mask=there)


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
    tl.store(out + batch * length * E + place, total * _silu(argument), mask=there)


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
    gated = g * _silu(argument)
    total = tl.zeros((TILE, BLOCK), DTYPE)
    grad_weights += (tl.program_id(0).to(tl.int64) * blocks + tl.program_id(1)) * paths
    for k in range(paths):
        base = (batch * paths + k) * length * E
        weight = tl.load(weights + batch * paths + k)
        value = tl.load(y + base + place, mask=there, other=0.0).to(DTYPE)
        total += weight * value
        tl.store(grad_y + base + place, gated * weight, mask=there)
        tl.store(grad_weights + k, tl.sum(tl.sum(gated * value, 1), 0))
    tl.store(grad_z + batch * length * E + place, g * total * _silu_slope(argument), mask=there)
