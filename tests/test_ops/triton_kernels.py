"""The Triton kernels against the reference: run by test_triton.py in a process of its own, in Triton's
interpreter, and by tools/gpu_check.sh on the device. Sizes are small, for the interpreter is slow."""

import os

import pytest
import torch
from test_operators import test_convolution_is_what_its_fake_says, test_gate_is_what_its_fake_says  # noqa: F401
from test_scan import assert_close, check_rounding_of_the_gate, scan_inputs

from rsmamba_mm.layers import SS2D, MultiPathMamba
from rsmamba_mm.ops import (
    make_orders,
    merge_paths,
    multi_order_conv1d,
    multi_order_scan,
    pool_paths,
    selective_scan,
    use_backend,
)
from rsmamba_mm.ops.backends import judge, verification
from rsmamba_mm.ops.backends.triton import launch as backend
from rsmamba_mm.ops.testing import exact_scan, run_scan

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'
SETTINGS = dict(D=True, bias=True, softplus=True, orders=True, shared=True, one_u=False, rank=0)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Several blocks, tiles and chunks at sizes that the interpreter runs in a second."""
    if INTERPRETED:
        monkeypatch.setattr(backend, 'CHUNK', 8)
        monkeypatch.setattr(backend, 'TILE', 4)
        monkeypatch.setattr(backend, 'BLOCK', 16)
        monkeypatch.setattr(backend, 'BACKWARD', dict(TILE=4))
        monkeypatch.setattr(backend, 'CONV_STEPS', 16)


@pytest.fixture(params=[False, True], ids=['whole', 'segments'])
def segments(request, monkeypatch):
    """Whole sequences, or each chunk a segment of its own."""
    if request.param:
        monkeypatch.setattr(backend, 'segment_chunks', lambda *_: 1)
    else:
        monkeypatch.setattr(backend, 'segment_chunks', lambda chunks, *_: max(1, chunks))


def draw(shape, dtype, **settings):
    """Inputs of a scan and its options."""
    settings = SETTINGS | settings
    batch, paths, length, channels, _ = shape
    inputs = scan_inputs(*shape, dtype, shared=settings['shared'], one_u=settings['one_u'])
    inputs = {name: x.detach() for name, x in inputs.items()}
    generator = torch.Generator().manual_seed(1)
    if not settings['softplus']:  # a negative step grows without bound
        inputs['delta'] = inputs['delta'].abs() / 8
        inputs['delta_bias'] = inputs['delta_bias'].abs() / 8
    if settings['rank']:
        ranks = torch.randn(batch, paths, length, settings['rank'] + 4, generator=generator).to(dtype)
        inputs['delta'] = ranks[..., : settings['rank']]  # rows of a projection
        own = () if settings['shared'] else (paths,)
        inputs['delta_weight'] = torch.randn(*own, channels, settings['rank'], generator=generator)
        inputs['delta_weight'] = (inputs['delta_weight'] / settings['rank'] ** 0.5).to(inputs['A'].dtype)
    if not settings['D']:
        del inputs['D']
    if not settings['bias']:
        del inputs['delta_bias']
    names = ['shuffle', 'reverse', 'forward', 'shuffle'][:paths]
    orders = make_orders(names, 1, length, generator=generator) if settings['orders'] else None
    return inputs, dict(orders=orders, delta_softplus=settings['softplus'])


def run(name, inputs, options, last_weight=1.0):
    """Outputs and gradients; the reference's in float64 on the CPU."""
    if name == 'reference':
        return exact_scan(inputs, **options, last_weight=last_weight)
    return run_scan(name, inputs, **options, last_weight=last_weight, device=DEVICE)


@pytest.mark.parametrize(
    ('shape', 'dtype'),
    [
        # batch, paths, length, channels, states
        ((1, 1, 1, 1, 1), torch.float32),
        ((2, 1, 7, 5, 3), torch.float64),
        ((1, 2, 17, 20, 2), torch.float16),
        ((1, 3, 9, 17, 2), torch.bfloat16),
        ((1, 1, 21, 33, 2), torch.float32),
        ((1, 1, 3, 4, 33), torch.float32),
        ((1, 1, 2, 3, 64), torch.float32),
    ],
    ids=str,
)
def test_scan(shape, dtype, segments):
    # of half precision, neighbours in a row are read in pairs
    inputs, options = draw(shape, dtype, rank=4 if dtype.itemsize == 2 else 0)
    assert_close(run('triton', inputs, options), run('reference', inputs, options), dtype)


@pytest.mark.parametrize(
    'settings',
    [
        dict(D=False, bias=False),
        dict(softplus=False),
        dict(orders=False, one_u=True),
        dict(shared=False, one_u=True, rank=3),
        dict(rank=2, bias=False, softplus=False, D=False),
        dict(rank=70),
        dict(shared=False, D=False, orders=False),
    ],
    ids=lambda settings: '-'.join(f'{k}={v}' for k, v in settings.items()),
)
def test_scan_options(settings, segments):
    inputs, options = draw((1, 2, 11, 6, 2), torch.float64, **settings)
    if settings.get('rank') and not settings.get('softplus', True):
        inputs['delta'], inputs['delta_weight'] = inputs['delta'].abs() / 8, inputs['delta_weight'].abs()
    assert_close(run('triton', inputs, options), run('reference', inputs, options), torch.float64)


def test_it_is_found_right_on_first_use(segments, monkeypatch):
    if INTERPRETED:
        monkeypatch.setattr(
            judge, 'CASES', {dtype: ((1, 2, 11, 6, 2), {}) for dtype in verification.TOLERANCE}
        )
    errors = verification.verify(backend, torch.device(DEVICE))
    assert 0 < errors['torch.float32'] < 1e-5


def test_without_a_gradient_of_the_last_state():
    inputs, options = draw((1, 2, 11, 6, 2), torch.float64)
    ours, exact = (run(name, inputs, options, last_weight=0.0) for name in ('triton', 'reference'))
    assert_close(ours, exact, torch.float64)


def test_steps_near_zero_keep_their_precision():
    """softplus and its derivative at steps of 1e-7 to 1e-1."""
    inputs, options = draw((1, 1, 8, 4, 2), torch.float32, bias=False)
    inputs['delta'] = torch.linspace(-16, -2, 32).view(1, 1, 8, 4)
    ours, exact = (run(name, inputs, options)['ddelta'] for name in ('triton', 'reference'))
    torch.testing.assert_close(ours.double().cpu(), exact, rtol=1e-5, atol=1e-13)


def test_results_repeat_bit_by_bit(segments):
    inputs, options = draw((2, 1, 17, 20, 1), torch.float32)
    first, second = (run('triton', inputs, options) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(('batch', 'length'), [(0, 5), (2, 0)])
def test_nothing_to_do(batch, length):
    inputs, options = draw((batch, 2, length, 4, 3), torch.float32)
    ours = run('triton', inputs, options)
    assert ours['y'].shape == (batch, 2, length, 4) and ours['last'].shape == (batch, 2, 4, 3)
    assert ours['dA'].shape == (4, 3) and not ours['dA'].any() and not ours['last'].any()
    x = torch.zeros(batch, length, 4, device=DEVICE, requires_grad=True)
    weight = torch.ones(4, 3, device=DEVICE, requires_grad=True)
    with use_backend('triton'):
        y = multi_order_conv1d(x, weight, None, options['orders'].to(DEVICE))
        merged = merge_paths(y, x, x.new_ones(batch, 2))
    (y.sum() + merged.sum()).backward()
    assert y.shape == (batch, 2, length, 4) and merged.shape == x.grad.shape and not weight.grad.any()


def test_nan_stays_nan():
    """In the channel and from the step where it enters, and nowhere else."""
    inputs, options = draw((1, 1, 5, 4, 2), torch.float32, orders=False)
    inputs['delta'][0, 0, 2, 1] = torch.nan
    expected = torch.zeros(1, 1, 5, 4, dtype=torch.bool)
    expected[0, 0, 2:, 1] = True
    ours = run('triton', inputs, options)
    assert torch.equal(ours['y'].isnan().cpu(), expected)
    assert ours['ddelta'].isnan().cpu()[expected].any()


def test_gradient_of_a_shared_input_is_rounded_once():
    """Summed over the orders in float32: that of float32 inputs of the same values, rounded."""
    inputs, options = draw((1, 3, 9, 4, 2), torch.float16, one_u=True)
    options['orders'] = options['orders'].to(DEVICE)
    grads = []
    for dtype in (torch.float16, torch.float32):
        tensors = {
            name: x.to(DEVICE, torch.promote_types(x.dtype, dtype)).requires_grad_()
            for name, x in inputs.items()
        }
        with use_backend('triton'):
            y = multi_order_scan(**tensors, **options)
        grads += torch.autograd.grad(y, tensors['u'], torch.ones_like(y))
    assert torch.equal(grads[0], grads[1].half())


def test_states_are_kept_between_chunks_only():
    inputs, options = draw((1, 1, 17, 4, 3), torch.float32)
    saved = []
    inputs = {name: x.to(DEVICE).requires_grad_() for name, x in inputs.items()}
    options['orders'] = options['orders'].to(DEVICE)
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.shape) or x, lambda x: x)
    with use_backend('triton'), hooks:
        multi_order_scan(**inputs, **options)
    assert (-(-17 // backend.CHUNK), 1, 1, 3, 4) in saved


@pytest.mark.parametrize('segments_of', [(1000, 8), (13, 4608)])
def test_only_few_sequences_are_cut(segments_of, monkeypatch):
    monkeypatch.setattr(backend, '_processors', lambda _: 132)
    chunks, programs = segments_of
    size = backend.segment_chunks(chunks, programs, torch.device('cuda'))
    assert size == (chunks if programs > 1000 else 4)


@pytest.mark.parametrize(('groups', 'gate'), [(1, False), (2, True)])
def test_selective_scan(groups, gate):
    torch.manual_seed(0)
    tensors = dict(
        u=torch.randn(2, 4, 9),
        delta=torch.rand(2, 4, 9),
        A=-torch.rand(4, 3),
        B=torch.randn(2, groups, 3, 9),
        C=torch.randn(2, groups, 3, 9),
        D=torch.randn(4),
        z=torch.randn(2, 4, 9) if gate else None,
        delta_bias=torch.rand(4),
    )
    results = []
    for name, device in (('triton', DEVICE), ('reference', 'cpu')):
        inputs = {k: None if x is None else x.to(device).requires_grad_() for k, x in tensors.items()}
        with use_backend(name):
            y = selective_scan(**inputs, delta_softplus=True)
        y.cos().sum().backward()
        results.append([y.cpu(), *(x.grad.cpu() for x in inputs.values() if x is not None)])
        tensors = {k: None if x is None else x.detach() for k, x in tensors.items()}
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_the_gate_comes_before_the_rounding(dtype):
    # the interpreter cuts off what bfloat16 does not hold, where the device rounds
    check_rounding_of_the_gate('triton', dtype, DEVICE, units=1.0 if INTERPRETED else 0.75, length=12)


@pytest.mark.parametrize('length', [1, 3, 37])
@pytest.mark.parametrize(
    ('taps', 'bias', 'activation'), [(1, True, None), (3, False, 'silu'), (4, True, 'silu')]
)
@pytest.mark.parametrize('own', [(), (3,)], ids=['shared', 'per-order'])
def test_convolution(length, taps, bias, activation, own):
    torch.manual_seed(0)
    # the half of a projection
    x = torch.randn(2, length, 36, dtype=torch.float64)[..., 18:]
    weight = torch.randn(*own, 18, taps).double()
    offset = torch.randn(*own, 18).double() if bias else None
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, length)
    compare(
        lambda *tensors, orders: multi_order_conv1d(*tensors, orders, activation),
        (x, weight, offset),
        orders,
    )


@pytest.mark.parametrize(('paths', 'length', 'channels'), [(1, 1, 1), (3, 41, 20), (4, 17, 70)])
def test_gate(paths, length, channels):
    torch.manual_seed(0)
    y = torch.randn(2, paths, length, channels).double()
    z = torch.randn(2, length, 2 * channels).double()[..., channels:]
    weights = torch.rand(2, paths).double()
    compare(
        lambda y, z, w: torch.cat([pool_paths(y, z).flatten(), merge_paths(y, z, w).flatten()]),
        (y, z, weights),
    )


def compare(function, tensors, orders=None, dtype=None):
    results = []
    for name, device in (('triton', DEVICE), ('reference', 'cpu')):
        inputs = [None if x is None else x.to(device).detach().requires_grad_() for x in tensors]
        with use_backend(name):
            y = function(*inputs) if orders is None else function(*inputs, orders=orders.to(device))
        y.sin().sum().backward()
        results.append([y.cpu(), *(x.grad.cpu() for x in inputs if x is not None)])
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours, exact)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_half_precision_of_convolution_and_gate(dtype):
    torch.manual_seed(0)
    x, z = (torch.randn(1, 9, 6, device=DEVICE).to(dtype) for _ in range(2))
    ones = torch.ones(1, 2, dtype=dtype, device=DEVICE)
    weight, orders = torch.randn(6, 4, device=DEVICE), make_orders(['reverse', 'shuffle'], 1, 9).to(DEVICE)
    results = []
    for name in ('triton', 'reference'):
        with use_backend(name):
            y = multi_order_conv1d(x, weight, None, orders)
            results.append([y, pool_paths(y, z), merge_paths(y, z, ones)])
    for ours, exact in zip(*results, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize('layer', ['mixer', 'ss2d'])
def test_layers(layer):
    torch.manual_seed(0)
    if layer == 'mixer':
        model, x = MultiPathMamba(8, d_state=2), torch.randn(1, 6, 8)
        gate = torch.nn.Sequential(torch.nn.Linear(24, 3, bias=False), torch.nn.Softmax(-1)).to(DEVICE)
        orders = make_orders(['forward', 'reverse', 'shuffle'], 1, 6).to(DEVICE)
        arguments = (orders, gate)
    else:
        model, x, arguments = SS2D(8, d_state=2), torch.randn(1, 2, 3, 8), ()
    model, x = model.to(DEVICE), x.to(DEVICE).requires_grad_()
    results = []
    for name in ('triton', 'reference'):
        model.zero_grad()
        x.grad = None
        with use_backend(name):
            y = model(x, *arguments)
        y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in model.parameters())])
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(('shared', 'rank'), [(True, 0), (False, 2)])
def test_operator_registration(shared, rank):
    inputs, options = draw((1, 2, 5, 4, 1), torch.float32, shared=shared, rank=rank)
    inputs = {name: x.to(DEVICE) for name, x in inputs.items()}
    tensors = [
        inputs.get(name) for name in ('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias', 'delta_weight')
    ]
    orders = options['orders'].to(DEVICE)
    y, last, kept = torch.ops.rsmamba_mm.scan(*tensors, orders, True, True, 'triton')
    arguments = (y, last, *tensors, orders, True, kept, 'triton')
    torch.library.opcheck(torch.ops.rsmamba_mm.scan_backward, arguments)
    leaves = [None if x is None else x.requires_grad_() for x in tensors]
    torch.library.opcheck(torch.ops.rsmamba_mm.scan, (*leaves, orders, True, True, 'triton'))
