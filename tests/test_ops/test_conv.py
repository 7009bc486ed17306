import pytest
import torch
import torch.nn.functional as F

from rsmamba_mm.ops import available_backends, make_orders, multi_order_conv1d, use_backend


def inputs(length, channels, taps, dtype=torch.float64, own=()):
    torch.manual_seed(0)
    x = torch.randn(2, length, channels, dtype=dtype, requires_grad=True)
    weight = torch.randn(*own, channels, taps, dtype=dtype, requires_grad=True)
    bias = torch.randn(*own, channels, dtype=dtype, requires_grad=True)
    return x, weight, bias


@pytest.mark.parametrize('backend', available_backends())
@pytest.mark.parametrize('taps', [1, 4, 20])
@pytest.mark.parametrize('length', [1, 2, 17])
@pytest.mark.parametrize('activation', ['silu', None])
@pytest.mark.parametrize('own', [(), (3,)], ids=['shared', 'per-order'])
def test_equals_torch_convolution_of_reordered_tokens(backend, taps, length, activation, own):
    x, weight, bias = inputs(length, 6, taps, own=own)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, length)
    with use_backend(backend):
        ours = multi_order_conv1d(x, weight, bias, orders, activation)
    expected = torch.empty_like(ours)
    for k, order in enumerate(orders):
        read = F.pad(x[:, order].mT, (taps - 1, 0))
        taps_of_order, offset = (parameter[k] if own else parameter for parameter in (weight, bias))
        y = F.conv1d(read, taps_of_order[:, None], offset, groups=6).mT
        expected[:, k, order] = F.silu(y) if activation else y
    torch.testing.assert_close(ours, expected)
    cotangent = torch.randn_like(ours)
    ours_grads = torch.autograd.grad(ours, (x, weight, bias), cotangent)
    expected_grads = torch.autograd.grad(expected, (x, weight, bias), cotangent)
    for ours_grad, expected_grad in zip(ours_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours_grad, expected_grad)


# autograd through the reference rounds the gradient of each order
@pytest.mark.parametrize('backend', [name for name in available_backends() if name != 'reference'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize('own', [(), (2,)], ids=['shared', 'per-order'])
def test_half_precision_is_computed_in_float32(backend, dtype, own):
    x, weight, bias = inputs(17, 6, 4, torch.float32, own)
    orders = make_orders(['forward', 'shuffle'], 1, 17)
    x = x.detach().to(dtype).requires_grad_()
    exact = [leaf.detach().double().requires_grad_() for leaf in (x, weight, bias)]
    results = []
    for name, leaves in ((backend, (x, weight, bias)), ('reference', exact)):
        with use_backend(name):
            y = multi_order_conv1d(*leaves, orders)
        results.append([y, *torch.autograd.grad(y, leaves, torch.ones_like(y))])
    for ours, exact, like in zip(*results, (x, x, weight, bias), strict=True):
        assert ours.dtype == like.dtype
        torch.testing.assert_close(ours, exact.to(like.dtype))


@pytest.mark.parametrize('backend', available_backends())
def test_a_bias_may_be_shared_where_the_weight_is_not(backend):
    x, weight, _ = inputs(9, 6, 3, own=(2,))
    bias, orders = torch.randn(6).double().requires_grad_(), make_orders(['forward', 'reverse'], 1, 9)
    results = []
    for offset in (bias, bias.expand(2, -1)):
        with use_backend(backend):
            y = multi_order_conv1d(x, weight, offset, orders)
        results.append([y, *torch.autograd.grad(y.sin().sum(), (x, weight, bias))])
    for ours, expanded in zip(*results, strict=True):
        torch.testing.assert_close(ours, expanded)


def test_operator_registration():
    x, weight, bias = inputs(5, 4, 3, torch.float32)
    orders = make_orders(['forward', 'reverse'], 1, 5)
    torch.library.opcheck(torch.ops.rsmamba_mm.conv1d, (x, weight, bias, orders, True, 'torch'))


def test_refusals():
    x, weight, bias = inputs(5, 4, 3)
    orders = make_orders(['forward'], 1, 5)
    with pytest.raises(ValueError, match="activation must be 'silu' or None, got 'gelu'"):
        multi_order_conv1d(x, weight, bias, orders, 'gelu')
    with pytest.raises(ValueError, match=r'weight \(E, W\) or \(K, E, W\), got \(2, 5, 4\) and \(4,\)'):
        multi_order_conv1d(x, bias, bias, orders)
    with pytest.raises(
        ValueError, match=r'weight must be \(4, 3\) or \(1, 4, 3\) .* 1 orders, got \(3, 3\)'
    ):
        multi_order_conv1d(x, weight[:3], bias, orders)
    with pytest.raises(ValueError, match=r'weight must be \(4, 3\) or \(1, 4, 3\) .*, got \(2, 4, 3\)'):
        multi_order_conv1d(x, weight.expand(2, -1, -1), bias, orders)
    with pytest.raises(ValueError, match=r'orders must be \(K, 5\)'):
        multi_order_conv1d(x, weight, bias, orders[:, :4])
    with pytest.raises(ValueError, match=r'bias must be \(4,\) or \(1, 4\) .*, got \(3,\)'):
        multi_order_conv1d(x, weight, bias[:3], orders)
    with pytest.raises(ValueError, match=r'weight must have at least one tap, got \(4, 0\)'):
        multi_order_conv1d(x, weight[..., :0], bias, orders)


@pytest.mark.parametrize('backend', available_backends())
def test_along_no_order_the_gradient_is_zero(backend):
    """Not what lay in memory."""
    x, weight, bias = inputs(5, 4, 3)
    with use_backend(backend):
        y = multi_order_conv1d(x, weight, bias, torch.zeros(0, 5, dtype=torch.long))
        gradients = torch.autograd.grad(y.sum(), (x, weight, bias))
    assert y.shape == (2, 0, 5, 4)
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)
