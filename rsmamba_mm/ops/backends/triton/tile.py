"""What the kernels share: rows and steps of a tile, and the activations."""

import triton
import triton.language as tl

# what changes with the size of image or batch: no kernel is compiled anew for it
RUNTIME = ['length', 'steps', 'segments', 'sequences', 'blocks']


@triton.jit
def softplus(x):
    """In float32 without a logarithm: ``max(x, 0) + log(1 + e)`` with ``e = exp(-|x|)``.

    ``log(1 + e) / e`` is a polynomial fitted on [0, 1], right to 2e-7 of its value: small steps stay exact.
    """
    # no maximum: on a device that of NaN and a number is the number
    e = tl.exp2(-1.4426950408889634 * tl.abs(x))
    if x.dtype == tl.float64:
        # log(1 + e), corrected by what the sum 1 + e has rounded away
        rounded = (1.0 + e) - 1.0
        small = rounded == 0.0
        series = tl.where(small, e, tl.log(1.0 + e) * (e / tl.where(small, 1.0, rounded)))
    else:
        series = 0.00536419265 * e - 0.0300632771
        series = series * e + 0.0792004615
        series = series * e - 0.137534574
        series = series * e + 0.191534907
        series = series * e - 0.248571202
        series = series * e + 0.333213151
        series = series * e - 0.499996483
        series = (series * e + 1.0) * e
    return tl.where(x > 0.0, x + series, series)


@triton.jit
def softplus_slope(y):
    """Derivative of softplus from its value, ``1 - exp(-y)``: by its series where that would cancel."""
    series = 0.041666666666666664 - y * 0.008333333333333333
    series = 0.16666666666666666 - y * series
    series = y * (1.0 - y * (0.5 - y * series))
    return tl.where(y < 0.01, series, 1.0 - tl.exp2(-1.4426950408889634 * y))


@triton.jit
def starts(tokens, stride, TILE: tl.constexpr):
    """Where the rows of a tile begin: found once for all that is read of them."""
    places = ()
    for j in tl.static_range(TILE):
        places = places + (tokens[j] * stride,)
    return places


@triton.jit
def numbers(place, COUNT: tl.constexpr, PACKED: tl.constexpr, DTYPE: tl.constexpr):
    """``COUNT`` neighbours that all threads read; ``PACKED``, two of 16 bits are one load of 32."""
    found = ()
    if PACKED and COUNT > 1:
        for k in tl.static_range(0, COUNT, 2):
            pair = tl.load((place + k).to(tl.pointer_type(tl.int32), bitcast=True))
            for half in tl.static_range(2):
                bits = (pair >> (16 * half)).to(tl.int16)
                found = found + (bits.to(place.dtype.element_ty, bitcast=True).to(DTYPE),)
    else:
        for k in tl.static_range(COUNT):
            found = found + (tl.load(place + k).to(DTYPE),)
    return found


@triton.jit
def columns(
    x, places, n, TILE: tl.constexpr, COUNT: tl.constexpr, PACKED: tl.constexpr, DTYPE: tl.constexpr
):
    """Of the rows that begin at ``places`` the numbers from n on, for each row a tuple of ``COUNT``."""
    found = ()
    for j in tl.static_range(TILE):
        found = found + (numbers((x + n) + places[j], COUNT, PACKED, DTYPE),)
    return found


@triton.jit
def entering(kept, E, scratch, i, N, BLOCK: tl.constexpr):
    """Where the states before tile i of a chunk lie and how far apart: kept, or left by the tile before."""
    return tl.where(i == 0, kept, scratch + (i - 1) * N * BLOCK), tl.where(i == 0, E, BLOCK)


@triton.jit
def chosen(numbers, which, COUNT: tl.constexpr):
    """For each thread one of ``COUNT`` numbers."""
    found = tl.zeros_like(which)
    for j in tl.static_range(COUNT):
        found = tl.where(which == j, numbers[j], found)
    return found


@triton.jit
def sums(vectors, threads, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """Sums of ``COUNT`` vectors, two elements to a thread; thread i gets that of vector i modulo ``COUNT``.

    A transposed butterfly: of two vectors a thread keeps one and hands its partner the other, so that each
    exchange halves what is left. ``COUNT`` is a power of two, and there are at least as many threads.
    """
    left = ()
    for i in tl.static_range(COUNT):
        left = left + (tl.sum(tl.reshape(vectors[i], (BLOCK // 2, 2)), 1),)
    for r in tl.static_range(5):
        partner = threads ^ (1 << r)
        if (1 << r) < COUNT:
            second = (threads & (1 << r)) != 0
            merged = ()
            for i in tl.static_range(COUNT >> (r + 1)):
                own = tl.where(second, left[2 * i + 1], left[2 * i])
                given = tl.where(second, left[2 * i], left[2 * i + 1])
                merged = merged + (own + tl.gather(given, partner, 0),)
            left = merged
        elif (1 << r) < BLOCK // 2:
            left = (left[0] + tl.gather(left[0], partner, 0),)
    return left[0]


@triton.jit
def zeros(TILE: tl.constexpr, BLOCK: tl.constexpr, DTYPE: tl.constexpr):
    rows = ()
    for _ in tl.static_range(TILE):
        rows = rows + (tl.zeros((BLOCK,), DTYPE),)
    return rows


@triton.jit
def tokens(orders, start, stop, TILE: tl.constexpr, ORDERED: tl.constexpr):
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
def rows(x, tokens, stride, channels, inside, start, stop, TILE: tl.constexpr, DTYPE: tl.constexpr):
    """Rows of a tile; zeros past the end."""
    rows = ()
    for j in tl.static_range(TILE):
        row = tl.load(x + tokens[j] * stride + channels, mask=inside & (start + j < stop), other=0.0)
        rows = rows + (row.to(DTYPE),)
    return rows


@triton.jit
def write_rows(x, rows, tokens, stride, channels, inside, start, stop, TILE: tl.constexpr):
    for j in tl.static_range(TILE):
        tl.store(x + tokens[j] * stride + channels, rows[j], mask=inside & (start + j < stop))


@triton.jit
def step_sizes(
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
    RANKS: tl.constexpr,
    PACKED: tl.constexpr,
    LOW_RANK: tl.constexpr,
    BIAS: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Step sizes of a tile; zeros past the end, where a step then changes nothing."""
    offset = tl.load(bias + channels, mask=inside, other=0.0) if BIAS else tl.zeros((BLOCK,), DTYPE)
    if LOW_RANK:
        raw = ()
        for _ in tl.static_range(TILE):
            raw = raw + (offset,)
        places = starts(tokens, delta_row, TILE)
        for r in range(0, rank, RANKS):
            ranks = columns(delta, places, r, TILE, RANKS, PACKED, DTYPE)
            for k in tl.static_range(RANKS):
                column = tl.load(weight + (r + k) * E + channels, mask=inside, other=0.0)
                summed = ()
                for j in tl.static_range(TILE):
                    summed = summed + (raw[j] + column * ranks[j][k],)
                raw = summed
    else:
        raw = rows(delta, tokens, delta_row, channels, inside, start, stop, TILE, DTYPE)
    sizes = ()
    for j in tl.static_range(TILE):
        size = raw[j]
        if BIAS and not LOW_RANK:
            size = size + offset
        if SOFTPLUS:
            size = softplus(size)
        sizes = sizes + (tl.where(start + j < stop, size, 0.0),)
    return sizes


@triton.jit
def products(x, y, TILE: tl.constexpr):
    rows = ()
    for j in tl.static_range(TILE):
        rows = rows + (x[j] * y[j],)
    return rows


@triton.jit
def silu(x):
    return x / (1.0 + tl.exp(-x))


@triton.jit
def silu_slope(x):
    sigmoid = 1.0 / (1.0 + tl.exp(-x))
    return sigmoid * (1.0 + x * (1.0 - sigmoid))
