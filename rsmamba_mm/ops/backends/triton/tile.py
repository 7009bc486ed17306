"""What the kernels share: rows and steps of a tile, and the activations."""

import triton
import triton.language as tl

# what changes with the size of image or batch: no kernel is compiled anew for it
RUNTIME = ['length', 'steps', 'segments', 'sequences', 'blocks']


@triton.jit
def softplus(x):
    # no minimum: on a device that of NaN and a number is the number
    e = tl.exp(tl.where(x > 20.0, 20.0, x))
    # log(1 + e), corrected by what the sum 1 + e has rounded away
    rounded = (1.0 + e) - 1.0
    small = rounded == 0.0
    exact = tl.where(small, e, tl.log(1.0 + e) * (e / tl.where(small, 1.0, rounded)))
    return tl.where(x > 20.0, x, exact)


@triton.jit
def softplus_slope(y):
    """Derivative of softplus from its value, ``1 - exp(-y)``: by its series where that would cancel."""
    series = y * (1.0 - y / 2.0 * (1.0 - y / 3.0 * (1.0 - y / 4.0 * (1.0 - y / 5.0))))
    return tl.where(y < 0.01, series, 1.0 - tl.exp(-y))


@triton.jit
def number(x, place, DTYPE: tl.constexpr):
    return tl.load(x + place).to(DTYPE)


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
    LOW_RANK: tl.constexpr,
    BIAS: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Step sizes of a tile; zeros past the end, where a step then changes nothing."""
    if LOW_RANK:
        raw = zeros(TILE, BLOCK, DTYPE)
        for r in range(rank):
            column = tl.load(weight + r * E + channels, mask=inside, other=0.0)
            summed = ()
            for j in tl.static_range(TILE):
                summed = summed + (raw[j] + column * number(delta, tokens[j] * delta_row + r, DTYPE),)
            raw = summed
    else:
        raw = rows(delta, tokens, delta_row, channels, inside, start, stop, TILE, DTYPE)
    if BIAS:
        offset = tl.load(bias + channels, mask=inside, other=0.0)
    sizes = ()
    for j in tl.static_range(TILE):
        size = raw[j]
        if BIAS:
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
