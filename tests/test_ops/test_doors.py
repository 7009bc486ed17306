"""The native backend behind its operators, on whatever Python can hand over: it computes what the reference
does, or says in words why not."""

import math

import pytest
import torch

from rsmamba_mm.ops import (
    available_backends,
    merge_paths,
    multi_order_conv1d,
    multi_order_scan,
    pool_paths,
    use_backend,
)

hypothesis = pytest.importorskip('hypothesis', reason='hypothesis is not installed')
from hypothesis import strategies as st  # noqa: E402

pytestmark = pytest.mark.skipif('cpu' not in available_backends(), reason='the native backend is not here')

BLOCK = 250  # examples of one seed
LAYOUTS = ('dense', 'sliced', 'transposed', 'expanded', 'shifted', 'misaligned', 'negated', 'strided')
REFUSALS = (ValueError, TypeError, RuntimeError)
OPERATORS = {
    'scan': multi_order_scan,
    'conv1d': multi_order_conv1d,
    'pool': pool_paths,
    'merge': merge_paths,
}


def lay_out(x, layout):
    """The same numbers (or, expanded, fewer) in another layout of memory."""
    if x.dim() == 0 or x.numel() == 0:
        return x
    if layout == 'sliced':  # of wider rows, up to the end of the memory
        wide = torch.full((*x.shape[:-1], x.shape[-1] + 3), math.nan).to(x.dtype)
        wide[..., 3:] = x
        return wide[..., 3:]
    if layout == 'transposed':
        return x.mT.contiguous().mT if x.dim() > 1 else x
    if layout == 'expanded':
        return x[:1].expand(x.shape)
    if layout == 'shifted':
        return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    if layout == 'misaligned':
        memory = bytearray(1) + bytearray(x.contiguous().view(torch.uint8).flatten().tolist())
        return torch.frombuffer(memory, dtype=x.dtype, offset=1).view(x.shape)
    if (
        layout == 'negated' and x.is_floating_point() and x.element_size() > 1
    ):  # numbers that are stored with the other sign
        return torch._neg_view(-x)
    if layout == 'strided':
        return torch.stack([x, torch.zeros_like(x)], -1)[..., 0]
    return x


def draw_tensor(draw, generator, *shape):
    """Numbers of a shape that is seldom another, as a tensor of some dtype and layout."""
    if draw(st.integers(0, 60)) == 0:
        shape = draw(st.sampled_from([shape[1:], (*shape, 1), (*shape[:-1], shape[-1] + 1), shape[::-1]]))
    dtype = draw(
        st.sampled_from([*[torch.float32] * 12, *[torch.float64] * 6, torch.bfloat16, torch.float16])
    )
    if draw(st.integers(0, 100)) == 0:
        dtype = draw(st.sampled_from([torch.int64, torch.complex64, torch.bool, torch.float8_e4m3fn]))
    x = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.05
    return lay_out(x.to(dtype), draw(st.sampled_from(('dense', *LAYOUTS))))


def draw_orders(draw, generator, paths, length):
    """Orders, sometimes wrong ones."""
    rows = [torch.randperm(length, generator=generator) for _ in range(paths)]
    orders = torch.stack(rows) if rows else torch.zeros(0, length, dtype=torch.long)
    wrong = draw(st.sampled_from([*[None] * 8, 'entry', 'dtype', 'shape']))
    if wrong == 'entry' and orders.numel():
        entry = st.sampled_from([-1, 0, length - 1, length, 2**40, -(2**63)])
        orders[draw(st.integers(0, paths - 1)), draw(st.integers(0, length - 1))] = draw(entry)
    if wrong == 'dtype':
        orders = orders.to(draw(st.sampled_from([torch.int32, torch.float32, torch.uint8])))
    if wrong == 'shape':
        orders = draw(st.sampled_from([orders[:, 1:], orders[1:], orders.mT, orders[None], orders[:, :0]]))
    layout = draw(st.sampled_from(LAYOUTS))
    return orders if layout == 'expanded' and paths > 1 and length else lay_out(orders, layout)


@st.composite
def calls(draw):
    """An operator and what it is given."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    size = st.integers(1, 5)
    zero = draw(st.integers(0, 30))  # which size is none
    batch, paths, length, channels = (0 if zero == i else draw(size) for i in range(4))
    channels += draw(st.sampled_from([0, 0, 0, 16, 67])) if channels else 0
    length *= draw(st.sampled_from([1, 1, 5, 15]))

    def tensor(*shape):
        return draw_tensor(draw, generator, *shape)

    def own(*shape):
        return tensor(*(() if draw(st.booleans()) else (paths,)), *shape)

    def maybe(make, *shape):
        return make(*shape) if draw(st.booleans()) else None

    name = draw(st.sampled_from(['scan', 'scan', *OPERATORS]))
    if name == 'scan':
        states = draw(st.sampled_from([0, *[1, 2, 3, 4, 5, 8, 16] * 3, 67]))
        rank = draw(st.sampled_from([None] * 6 + [0] + [1, 2, 3] * 3))
        A = own(channels, states)
        given = dict(
            u=tensor(batch, draw(st.sampled_from([paths, 1])), length, channels),
            delta=tensor(batch, paths, length, channels if rank is None else rank),
            A=-A if A.is_floating_point() and A.dtype != torch.float8_e4m3fn else A,
            B=tensor(batch, paths, length, states),
            C=tensor(batch, paths, length, states),
            D=maybe(own, channels),
            delta_bias=maybe(own, channels),
            delta_weight=None if rank is None else own(channels, rank),
            orders=draw_orders(draw, generator, paths, length) if draw(st.booleans()) else None,
            delta_softplus=draw(st.booleans()),
            return_last_state=True,
        )
    elif name == 'conv1d':
        taps = draw(st.sampled_from([0, *[1, 2, 3, 4, 7] * 4, 128, 129]))
        given = dict(
            x=tensor(batch, length, channels),
            weight=own(channels, taps),
            bias=maybe(own, channels),
            orders=draw_orders(draw, generator, paths, length),
            activation=draw(st.sampled_from(['silu', None])),
        )
    else:
        given = dict(y=tensor(batch, paths, length, channels), z=tensor(batch, length, channels))
        if name == 'merge':
            given['weights'] = tensor(batch, paths)
    return name, given


def outcome(backend, name, given):
    """Results and gradients, or the refusal."""
    leaves = {
        key: x.detach().requires_grad_() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
        for key, x in given.items()
    }
    wanted = [x for x in leaves.values() if isinstance(x, torch.Tensor) and x.requires_grad]
    try:
        with use_backend(backend):
            results = OPERATORS[name](**leaves)
            results = results if isinstance(results, tuple) else (results,)
            total = sum((x.double() * weight).sum() for weight, x in enumerate(results, 1))
            gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    except REFUSALS as error:
        return error
    return [
        *results,
        *(x.new_zeros(x.shape) if g is None else g for x, g in zip(wanted, gradients, strict=True)),
    ]


def check(call):
    name, given = call
    found, due = outcome('cpu', name, given), outcome('reference', name, given)
    if isinstance(found, Exception):
        assert str(found).startswith((f'{name}: ', 'paths: ', 'scan backend')), repr(found)
        assert isinstance(due, Exception) or 'does not serve this' in str(found), repr(found)
        return
    assert not isinstance(due, Exception), f'not refused: {due!r}'
    for ours, exact in zip(found, due, strict=True):
        assert ours.shape == exact.shape and ours.dtype == exact.dtype
        half = exact.dtype in (torch.float16, torch.bfloat16)
        scale = exact.double().nan_to_num(0, 0, 0).abs().max().item() if exact.numel() else 0
        tolerance = (2e-2 if half else 1e-3) * max(scale, 1)
        torch.testing.assert_close(ours.double(), exact.double(), rtol=0, atol=tolerance, equal_nan=True)


def try_block(seed):
    options = hypothesis.settings(
        max_examples=BLOCK,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.seed(seed)(options(hypothesis.given(calls())(check)))()


@pytest.mark.reliability
def test_whatever_is_handed_over_is_computed_or_refused(tally):
    levels = 1, 40, 800
    for seed in tally.blocks(*levels):
        try_block(seed)
    tally.record(
        'Native code',
        'operators on random shapes, dtypes, layouts and orders',
        tally.times(*levels) * BLOCK,
        'results as the formula gives them, or refused in words',
    )
