"""Every backend against the reference in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from rsmamba_mm.ops import (
    available_backends,
    make_orders,
    multi_order_scan,
    selective_scan,
    testing,
    use_backend,
)

FAST_BACKENDS = [name for name in available_backends() if name != 'reference']
# largest error relative to the largest entry of the tensor
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 2e-2,
    torch.float16: 3e-3,
}


def scan_inputs(*shape, **options):
    """Those of the judge, as leaves."""
    return {name: x.requires_grad_() for name, x in testing.scan_inputs(*shape, **options).items()}


def run(inputs, backend, **options):
    return testing.run_scan(backend, inputs, **options)


def assert_close(ours, exact, dtype):
    for name, error in testing.relative_errors(ours, exact).items():
        assert error < TOLERANCE[dtype], f'{name}: relative error {error:.1e}'


SHAPES = [
    # batch, paths, length, channels, states
    (1, 1, 1, 1, 1),
    (2, 1, 7, 5, 3),
    (1, 3, 17, 12, 16),
    (2, 3, 64, 9, 4),
    (1, 4, 97, 20, 16),
    (2, 2, 33, 6, 64),
]


@pytest.mark.parametrize('backend', FAST_BACKENDS)
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('shared', [True, False], ids=['shared', 'per-order'])
def test_backend_equals_reference(backend, dtype, shape, shared):
    _, paths, length, _, _ = shape
    orders = make_orders(['forward', 'reverse', 'shuffle', 'shuffle'][:paths], 1, length)
    inputs = scan_inputs(*shape, dtype, shared=shared)
    options = dict(orders=orders, delta_softplus=True)
    assert_close(run(inputs, backend, **options), testing.exact_scan(inputs, **options), dtype)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
@pytest.mark.parametrize(
    ('has_D', 'has_bias', 'softplus', 'has_orders', 'one_u'),
    list(itertools.product([True, False], repeat=5)),
)
def test_backend_options(backend, has_D, has_bias, softplus, has_orders, one_u):
    inputs = scan_inputs(2, 3, 19, 6, 4, torch.float64, one_u=one_u)
    inputs['D'] = inputs['D'] if has_D else None
    inputs['delta_bias'] = inputs['delta_bias'] if has_bias else None
    if not softplus:  # a negative step grows without bound
        inputs['delta'] = (inputs['delta'].detach().abs() / 8).requires_grad_()
        inputs['delta_bias'] = inputs['delta_bias'].detach().abs() if has_bias else None
        if has_bias:
            inputs['delta_bias'].requires_grad_()
    orders = make_orders(['shuffle', 'reverse', 'forward'], 1, 19) if has_orders else None
    options = dict(orders=orders, delta_softplus=softplus)
    assert_close(run(inputs, backend, **options), testing.exact_scan(inputs, **options), torch.float64)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize('shared', [True, False])
def test_low_rank_steps(backend, dtype, shared):
    """A slice of a wider projection, as a mixer gives it, projected inside the scan."""
    inputs = scan_inputs(2, 3, 19, 20, 4, dtype)
    wide = torch.randn(2, 3, 19, 9, dtype=dtype)
    inputs['delta'] = wide[..., :5].requires_grad_()
    shape = (20, 5) if shared else (3, 20, 5)
    inputs['delta_weight'] = torch.randn(shape, dtype=dtype, requires_grad=True)
    assert not inputs['delta'].is_contiguous()
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, 19)
    options = dict(orders=orders, delta_softplus=True)
    assert_close(run(inputs, backend, **options), testing.exact_scan(inputs, **options), dtype)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_non_contiguous_inputs(backend):
    inputs = scan_inputs(2, 2, 21, 6, 4, torch.float64)
    strided = {
        name: x.detach().mT.contiguous().mT.requires_grad_() if x.dim() > 1 else x
        for name, x in inputs.items()
    }
    assert not strided['u'].is_contiguous()
    assert_close(
        run(strided, backend, delta_softplus=True),
        testing.exact_scan(inputs, delta_softplus=True),
        torch.float64,
    )


@pytest.mark.parametrize('backend', available_backends())
def test_extreme_steps_stay_finite(backend):
    inputs = scan_inputs(1, 1, 40, 4, 4, torch.float32)
    delta = torch.full((1, 1, 40, 4), -60.0)
    delta[:, :, ::3] = 80.0
    inputs['delta'] = delta.requires_grad_()
    for name, result in run(inputs, backend, delta_softplus=True).items():
        assert result.isfinite().all(), name


@pytest.mark.parametrize('backend', available_backends())
def test_empty_batch(backend):
    inputs = scan_inputs(0, 2, 5, 4, 3, torch.float32)
    results = run(inputs, backend, delta_softplus=True)
    assert results['y'].shape == (0, 2, 5, 4)
    assert results['dA'].eq(0).all()


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_repeats_bit_for_bit(backend):
    inputs = scan_inputs(2, 3, 50, 16, 8, torch.float32)
    first, second = (
        run({k: x.detach().requires_grad_() for k, x in inputs.items()}, backend, delta_softplus=True)
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_reference_gradients_are_numerically_right():
    inputs = scan_inputs(1, 2, 5, 3, 2, torch.float64)
    orders = make_orders(['forward', 'shuffle'], 1, 5)

    def scan(*tensors):
        with use_backend('reference'):
            named = dict(zip(inputs, tensors, strict=True))
            return multi_order_scan(**named, orders=orders, delta_softplus=True)

    assert torch.autograd.gradcheck(scan, tuple(inputs.values()))


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_operator_registration(backend):
    inputs = scan_inputs(1, 2, 9, 4, 3, torch.float32)
    orders = make_orders(['forward', 'reverse'], 1, 9)
    u, delta, A, B, C = (inputs[name] for name in ('u', 'delta', 'A', 'B', 'C'))
    args = (u, delta, A, B, C, inputs['D'], inputs['delta_bias'], None, orders, True, True, backend)
    torch.library.opcheck(torch.ops.rsmamba_mm.scan, args)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_states_are_not_stored_for_every_step(backend):
    """What the backward keeps stays far below one (B, L, D, N) tensor."""
    inputs = scan_inputs(1, 1, 400, 64, 16, torch.float32)
    kept = []

    def record(x):
        kept.append(x.numel())
        return x

    with use_backend(backend), torch.autograd.graph.saved_tensors_hooks(record, lambda x: x):
        multi_order_scan(**inputs, delta_softplus=True)
    assert kept and max(kept) <= 400 * 64 * 16 / 10


# mamba_ssm's contract ---------------------------------------------------------------------------


def published_formula(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
    """The recurrence in the layout of mamba_ssm, one channel group after the other."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    channels = u.shape[1]
    B, C = (x if x.dim() == 4 else x[:, None] for x in (B, C))
    B, C = (x.repeat_interleave(channels // x.shape[1], 1) for x in (B, C))  # (B, D, N, L)
    state = torch.zeros(*u.shape[:2], A.shape[1], dtype=u.dtype)
    outputs = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[..., t] * u[:, :, t, None]
        outputs.append((state * C[..., t]).sum(-1))
    y = torch.stack(outputs, -1)
    if D is not None:
        y = y + D[:, None] * u
    return (y if z is None else y * F.silu(z)), state


@pytest.mark.parametrize('backend', available_backends())
@pytest.mark.parametrize('groups', [None, 1, 2])
@pytest.mark.parametrize(('has_D', 'has_z', 'has_bias'), list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize('softplus', [False, True])
@pytest.mark.parametrize('length', [1, 50])
def test_selective_scan_keeps_mamba_ssm_contract(backend, groups, has_D, has_z, has_bias, softplus, length):
    torch.manual_seed(0)
    batch, channels, states = 2, 4, 8
    real = dict(dtype=torch.float64)
    shape = (batch, states, length) if groups is None else (batch, groups, states, length)
    tensors = dict(
        u=torch.randn(batch, channels, length, **real),
        delta=0.5 * torch.rand(batch, channels, length, **real),
        A=-0.5 * torch.rand(channels, states, **real),
        B=torch.randn(shape, **real),
        C=torch.randn(shape, **real),
        D=torch.randn(channels, **real) if has_D else None,
        z=torch.randn(batch, channels, length, **real) if has_z else None,
        delta_bias=0.5 * torch.rand(channels, **real) if has_bias else None,
    )
    results = []
    for function in (selective_scan, published_formula):
        inputs = {k: None if x is None else x.clone().requires_grad_() for k, x in tensors.items()}
        with use_backend(backend):
            if function is selective_scan:
                y, last = function(**inputs, delta_softplus=softplus, return_last_state=True)
            else:
                y, last = function(**inputs, delta_softplus=softplus)
        y.cos().sum().backward()
        results.append([y, last, *(x.grad for x in inputs.values() if x is not None)])
    for ours, published in zip(*results, strict=True):
        torch.testing.assert_close(ours, published, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize('backend', FAST_BACKENDS)
@pytest.mark.parametrize(
    ('dtype', 'rtol', 'atol'),
    [(torch.float32, 6e-4, 2e-3), (torch.bfloat16, 3e-2, 5e-2), (torch.float16, 3e-3, 5e-3)],
    ids=['float32', 'bfloat16', 'float16'],
)
@pytest.mark.parametrize('length', [128, 256, 512, 1024, 2048, 4096])
@pytest.mark.parametrize('groups', [1, 2])
def test_selective_scan_on_mamba_ssm_grid(backend, dtype, rtol, atol, length, groups):
    """The sizes, precisions and tolerances of mamba_ssm's test of its kernel, all options on."""
    torch.manual_seed(0)
    batch, channels, states = 2, 4, 8
    tensors = dict(
        u=torch.randn(batch, channels, length, dtype=dtype),
        delta=(0.5 * torch.rand(batch, channels, length)).to(dtype),
        A=-0.5 * torch.rand(channels, states),
        B=torch.randn(batch, groups, states, length, dtype=dtype),
        C=torch.randn(batch, groups, states, length, dtype=dtype),
        D=torch.randn(channels),
        z=torch.randn(batch, channels, length, dtype=dtype),
        delta_bias=0.5 * torch.rand(channels),
    )
    with use_backend(backend), torch.no_grad():
        y, last = selective_scan(**tensors, delta_softplus=True, return_last_state=True)
        exact = {name: x.double() for name, x in tensors.items()}
        expected, state = published_formula(**exact, delta_softplus=True)
    torch.testing.assert_close(y.double(), expected, rtol=rtol, atol=atol)
    torch.testing.assert_close(last.double(), state, rtol=rtol, atol=atol)


def check_rounding_of_the_gate(backend, dtype, device='cpu', units=0.75, length=30):
    """Output and gradients of a gated scan in half precision are those of float64, rounded once.

    The error is counted in units of the last place, those of a 50th of the largest entry at least: what the
    sums in float32 leave of smaller ones says nothing about rounding.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = dict.fromkeys(['u', 'delta', 'z', 'grad'], (2, 6, length))
    shapes |= dict.fromkeys(['B', 'C'], (2, 2, 4, length)) | dict(A=(6, 4), D=(6,), delta_bias=(6,))
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    drawn['A'] = -drawn['A'].exp()
    tensors = {name: x if name in ('A', 'D', 'delta_bias') else x.to(dtype) for name, x in drawn.items()}
    exact = {name: x.double() for name, x in tensors.items()}
    results = []
    for name, (grad, inputs) in ((backend, _leaves(tensors, device)), ('reference', _leaves(exact, 'cpu'))):
        with use_backend(name):
            y = selective_scan(**inputs, delta_softplus=True)
        y.backward(grad)
        results.append(dict(y=y, **{f'd{key}': x.grad for key, x in inputs.items()}))
    ours, exact = results
    for name, expected in exact.items():
        largest, error = expected.abs().max(), (ours[name].double().cpu() - expected).abs()
        if ours[name].dtype == torch.float32:
            assert error.max() < TOLERANCE[torch.float32] * largest, name
            continue
        assert ours[name].dtype == dtype, name
        exponent = torch.floor(torch.log2(expected.abs().clamp(min=largest / 50)))
        wrong = (error / (torch.finfo(dtype).eps * 2**exponent)).max().item()
        assert wrong < units, f'{name}: {wrong:.2f} units of the last place'


def _leaves(tensors, device):
    """The gradient of the output, and the inputs."""
    inputs = {name: x.detach().to(device).requires_grad_() for name, x in tensors.items()}
    return inputs.pop('grad').detach(), inputs


@pytest.mark.parametrize('backend', available_backends())
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_the_gate_comes_before_the_rounding(backend, dtype):
    """As in mamba_ssm's kernel."""
    check_rounding_of_the_gate(backend, dtype)


# refusals ---------------------------------------------------------------------------------------


def test_scan_refuses_what_does_not_fit():
    inputs = scan_inputs(1, 2, 5, 4, 3, torch.float32)
    with pytest.raises(ValueError, match=r'B must be \(1, 2, 5, 3\) beside .* got \(1, 2, 6, 3\)'):
        multi_order_scan(**{**inputs, 'B': torch.zeros(1, 2, 6, 3)})
    with pytest.raises(ValueError, match=r'orders must be \(2, 5\)'):
        multi_order_scan(**inputs, orders=torch.zeros(3, 5, dtype=torch.long))
    with pytest.raises(TypeError, match=r'A must be real floating point, got torch\.complex64'):
        multi_order_scan(**{**inputs, 'A': inputs['A'].to(torch.complex64)})


def test_selective_scan_refuses_what_does_not_fit():
    u = torch.zeros(1, 4, 5)
    A, B = torch.zeros(4, 3), torch.zeros(1, 3, 3, 5)
    with pytest.raises(ValueError, match='4 channels with B of 3 and C of 3 groups'):
        selective_scan(u, u, A, B, B)
    with pytest.raises(ValueError, match='input-independent B and C are not supported'):
        selective_scan(u, u, A, A, A)
    with pytest.raises(ValueError, match=r'u must be \(B, D, L\), got \(4, 5\)'):
        selective_scan(u[0], u, A, B, B)
    with pytest.raises(TypeError, match=r'u must be real floating point, got torch\.int64'):
        selective_scan(u.long(), u, A, B[:, 0], B[:, 0], z=u)
