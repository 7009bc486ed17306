"""What torch, autocast and odd inputs ask of every operator, in every backend that runs here."""

import itertools

import pytest
import torch

from rsmamba_mm.ops import (
    available_backends,
    make_orders,
    mamba_inner,
    merge_paths,
    multi_order_conv1d,
    multi_order_scan,
    pool_paths,
    use_backend,
)
from rsmamba_mm.ops.backends import contract, offers
from rsmamba_mm.ops.backends.cpu import call as cpu_call

BACKENDS = available_backends()
FAST_BACKENDS = [name for name in BACKENDS if name != 'reference']
FUSED_BACKENDS = [name for name in FAST_BACKENDS if offers(name, 'pool_forward')]
OPS = torch.ops.rsmamba_mm


def scan_tensors(length=6, channels=4, states=3, own=(), optional=True, rank=0, dtype=torch.float32):
    """The tensors of a scan along two orders, in the order of the operator's arguments."""
    torch.manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape).to(dtype)

    delta, B, C = (draw(2, 2, length, size) for size in (rank or channels, states, states))
    D, bias = (draw(*own, channels) if optional else None for _ in range(2))
    weight = draw(*own, channels, rank) if rank else None
    return draw(2, 2, length, channels), delta, -draw(*own, channels, states).exp(), B, C, D, bias, weight


def two_orders(length):
    return make_orders(['reverse', 'shuffle'], 1, length, generator=torch.Generator().manual_seed(0))


def leaves(tensors):
    return [None if x is None else x.detach().clone().requires_grad_() for x in tensors]


@pytest.mark.parametrize('backend', FAST_BACKENDS)
@pytest.mark.parametrize(
    ('own', 'optional', 'rank', 'ordered', 'of_last'),
    list(itertools.product([(), (2,)], [True, False], [0, 2], [True, False], [True, False])),
)
def test_scan_is_what_its_fake_says(backend, own, optional, rank, ordered, of_last):
    tensors = scan_tensors(own=own, optional=optional, rank=rank)
    orders = two_orders(6) if ordered else None
    with torch.no_grad():
        y, last, kept = OPS.scan(*tensors, orders, True, True, backend)
    arguments = (y, last if of_last else None, *tensors, orders, True, kept, backend)
    checks = ('test_schema', 'test_faketensor')
    torch.library.opcheck(OPS.scan, (*leaves(tensors), orders, True, True, backend), test_utils=checks)
    torch.library.opcheck(OPS.scan_backward, arguments, test_utils=checks)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
@pytest.mark.parametrize('own', [(), (2,)], ids=['shared', 'per-order'])
def test_convolution_is_what_its_fake_says(backend, own):
    torch.manual_seed(0)
    # the half of a projection
    x, weight, orders = torch.randn(2, 6, 8)[..., 4:], torch.randn(*own, 4, 3), two_orders(6)
    grad = torch.randn(2, 2, 6, 4)
    for bias in (torch.randn(*own, 4), None):
        tensors = leaves((x, weight, bias))
        torch.library.opcheck(OPS.conv1d, (*tensors, orders, True, backend))
        torch.library.opcheck(OPS.conv1d_backward, (grad, x, weight, bias, orders, True, backend))


@pytest.mark.parametrize('backend', FUSED_BACKENDS)
def test_gate_is_what_its_fake_says(backend):
    torch.manual_seed(0)
    y, z, weights = torch.randn(2, 2, 6, 4), torch.randn(2, 6, 8)[..., 4:], torch.rand(2, 2)
    torch.library.opcheck(OPS.pool, (*leaves((y, z)), backend))
    torch.library.opcheck(OPS.pool_backward, (torch.randn(2, 2, 4), y, z, backend))
    torch.library.opcheck(OPS.merge, (*leaves((y, z, weights)), backend))
    torch.library.opcheck(OPS.merge_backward, (torch.randn(2, 6, 4), y, z, weights, backend))


def test_orders_are_what_their_fake_says():
    for names in ('forward\nsnake', 'forward\nreverse\nshuffle'):
        torch.library.opcheck(OPS.kept_orders, (torch.empty(0), names, 3, 4, [0, 6], 2, 5))


def everything(tensors, orders):
    """Results and gradients of all operators, in one list."""
    tensors = leaves(tensors)
    u, delta, A, B, C, D, bias, weight = tensors
    y, last = multi_order_scan(u, delta, A, B, C, D, orders, bias, weight, True, return_last_state=True)
    x, gate = u[:, 0], u[:, 1]
    convolved = multi_order_conv1d(x, A[:, :3], D, orders)
    pooled, merged = pool_paths(y, gate), merge_paths(y, gate, B.sum((2, 3)))
    results = [y, last, convolved, pooled, merged]
    total = sum(result.float().nan_to_num().square().sum() for result in results)
    # backwards, autocast is meant to be off
    with torch.autocast('cpu', enabled=False):
        inputs = [x for x in tensors if x is not None]
        return results + list(torch.autograd.grad(total, inputs, materialize_grads=True))


@pytest.mark.parametrize('backend', BACKENDS)
def test_autocast_changes_nothing_inside(backend):
    tensors, orders = scan_tensors(rank=2), two_orders(6)
    with use_backend(backend):
        exact = everything(tensors, orders)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            ours = everything(tensors, orders)
    for mine, expected in zip(ours, exact, strict=True):
        assert mine.dtype == torch.float32 and torch.equal(mine, expected)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_autocast_changes_nothing_inside_a_backward(backend):
    tensors, orders = scan_tensors(rank=2), two_orders(6)
    y, last, kept = OPS.scan(*tensors, orders, True, True, backend)
    arguments = (y, last, *tensors, orders, True, kept, backend)
    exact = OPS.scan_backward(*arguments)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        ours = OPS.scan_backward(*arguments)
    assert all(map(torch.equal, ours, exact))


@pytest.mark.parametrize('backend', BACKENDS)
def test_empty_sequences(backend):
    shapes = scan_tensors(), scan_tensors(0)
    with use_backend(backend):
        full, empty = (everything(tensors, two_orders(tensors[0].shape[2])) for tensors in shapes)
    for mine, expected in zip(empty, full, strict=True):
        assert mine.shape == torch.Size(0 if size == 6 else size for size in expected.shape)
    last, grad_A = empty[1], empty[7]
    assert not last.any() and not grad_A.any()


@pytest.mark.parametrize('backend', BACKENDS)
def test_nan_stays_nan(backend):
    """In the channel and from the step where it enters, and nowhere else."""
    u, delta, A, B, C, *_ = scan_tensors(optional=False)
    delta[0, 0, 2, 1] = torch.nan
    with use_backend(backend):
        y = multi_order_scan(u, delta, A, B, C, delta_softplus=True)
    expected = torch.zeros_like(y, dtype=torch.bool)
    expected[0, 0, 2:, 1] = True
    assert torch.equal(y.isnan(), expected)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_gradient_of_a_shared_input_is_rounded_once(backend):
    """Summed over the orders in float32: that of float32 inputs of the same values, rounded."""
    tensors = scan_tensors(length=9, dtype=torch.float16)
    tensors = [x if x is None else x.detach() for x in tensors]
    tensors[0] = tensors[0][:, :1]
    grads = []
    for dtype in (torch.float16, torch.float32):
        inputs = leaves(None if x is None else x.to(dtype) for x in tensors)
        with use_backend(backend):
            y = multi_order_scan(*inputs[:6], two_orders(9), *inputs[6:], delta_softplus=True)
        grads += torch.autograd.grad(y, inputs[0], torch.ones_like(y))
    assert torch.equal(grads[0], grads[1].half())


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('token', [-1, 6, 2**40])
def test_orders_outside_of_the_sequence_are_refused(backend, token):
    """Before anything is read there, forwards and on the way back."""
    tensors, orders = leaves(scan_tensors()), two_orders(6)
    orders[1, 4] = token
    u, delta, A, B, C, D, bias, _ = tensors
    weights = dict(x_proj_weight=torch.zeros(8, 4), dt_proj_weight=torch.zeros(4, 2), dt_proj_bias=None)
    message = f'order 1 reads token {token} at step 4, and the tokens of a sequence of length 6 are 0 to 5'
    with use_backend(backend):
        with pytest.raises(ValueError, match=f'scan: {message}'):
            multi_order_scan(u, delta, A, B, C, D, orders, bias)
        with pytest.raises(ValueError, match=f'conv1d: {message}'):
            multi_order_conv1d(u[:, 0], A, None, orders)
        with pytest.raises(ValueError, match=f'conv1d: {message}'):
            mamba_inner(u[:, 0], A, None, A=A, D=D, orders=orders, **weights)


@pytest.mark.parametrize('backend', BACKENDS)
def test_orders_that_read_a_token_twice_are_refused(backend):
    """The output of the token that is not read was whatever lay in memory."""
    u, delta, A, B, C, D, bias, _ = scan_tensors()
    orders = torch.tensor([[0, 1, 2, 3, 4, 5], [5, 4, 2, 2, 1, 0]])
    message = 'order 1 never reads token 3 and another one twice: each row .* of the tokens 0 to 5'
    with use_backend(backend):
        with pytest.raises(ValueError, match=f'scan: {message}'):
            multi_order_scan(u, delta, A, B, C, D, orders, bias)
        with pytest.raises(ValueError, match=f'conv1d: {message}'):
            multi_order_conv1d(u[:, 0], A, None, orders)


@pytest.mark.parametrize('backend', FAST_BACKENDS)
def test_a_backward_refuses_what_a_forward_did_not_leave(backend):
    tensors, orders = scan_tensors(), two_orders(6)
    y, last, kept = OPS.scan(*tensors, orders, True, True, backend)
    good = dict(grad_y=y, grad_last=last, orders=orders, kept=kept)
    for name, wrong in (
        ('grad_y', y[:, :, 1:]),
        ('grad_last', last.mT),
        ('kept', kept[1:]),
        ('kept', kept.long()),
        ('orders', orders + 1),
    ):
        given = good | {name: wrong}
        with pytest.raises(
            ValueError, match=rf'scan: {name} must be floating|scan: order \d reads token 6'
        ):
            OPS.scan_backward(
                given['grad_y'], given['grad_last'], *tensors, given['orders'], True, given['kept'], backend
            )
    x, weight = torch.randn(2, 6, 4), torch.randn(4, 3)
    with pytest.raises(ValueError, match=r'conv1d: grad_y must be floating point \(2, 2, 6, 4\) on cpu'):
        OPS.conv1d_backward(x, x, weight, None, orders, True, backend)
    with pytest.raises(ValueError, match='conv1d: weight must be'):
        OPS.conv1d(x, weight[1:], None, orders, True, backend)


@pytest.mark.parametrize('backend', FUSED_BACKENDS)
def test_the_gate_refuses_what_does_not_fit(backend):
    y, z, weights = torch.randn(2, 3, 6, 4), torch.randn(2, 6, 4), torch.rand(2, 3)
    with pytest.raises(ValueError, match='paths: y must be'):
        OPS.pool(y, z[:, 1:], backend)
    with pytest.raises(ValueError, match='paths: weights must be'):
        OPS.merge(y, z, weights[1:], backend)
    with pytest.raises(ValueError, match=r'paths: grad must be floating point \(2, 3, 4\)'):
        OPS.pool_backward(z, y, z, backend)
    with pytest.raises(ValueError, match=r'paths: grad must be floating point \(2, 6, 4\)'):
        OPS.merge_backward(y, y, z, weights, backend)
    with pytest.raises(TypeError, match=r'paths: z must be real floating point, got torch\.int64'):
        OPS.pool(y, z.long(), backend)


def test_orders_on_a_device_are_checked_once_as_they_stand(monkeypatch):
    """The way without a synchronisation, here on the CPU."""
    asked = []
    monkeypatch.setattr(
        torch, '_assert_async', lambda right, message: asked.append((right.item(), message))
    )
    orders = two_orders(6)
    for length in (6, 6, 5):
        contract._assert_range('scan', orders, length)
    orders[0, 0] = -1
    contract._assert_range('scan', orders, 6)
    assert [right for right, _ in asked] == [True, False, False]
    assert asked[-1][1] == 'scan: an order reads outside of a sequence of length 6'


@pytest.mark.skipif('cpu' not in BACKENDS, reason='the native backend is not here')
def test_the_native_code_reads_no_numbers_between_addresses():
    """As a view of a file may have them; processors other than x86 may refuse."""
    x = torch.frombuffer(bytearray(1 + 4 * 6), dtype=torch.float32, offset=1).view(2, 3)
    assert x.data_ptr() % 4
    call = cpu_call._Call(x)
    assert call.dense(x).data_ptr() % 4 == call.rows(x)[0].data_ptr() % 4 == 0
