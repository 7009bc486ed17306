import pytest
import torch
import torch.nn.functional as F

from rsmamba_mm.ops import available_backends, make_orders, multi_order_conv1d, use_backend


def inputs(length, channels, taps, dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(2, length, channels, dtype=dtype, requires_grad=True)
    weight = torch.randn(channels, taps, dtype=dtype, requires_grad=True)
    bias = torch.randn(channels, dtype=dtype, requires_grad=True)
    return x, weight, bias


@pytest.mark.parametrize('backend', available_backends())
@pytest.mark.parametrize('taps', [1, 3, 4])
@pytest.mark.parametrize('length', [1, 2, 17])
@pytest.mark.parametrize('activation', ['silu', None])
def test_equals_torch_convolution_of_reordered_tokens(backend, taps, length, activation):
    x, weight, bias = inputs(length, 6, taps)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, length)
    with use_backend(backend):
        ours = multi_order_conv1d(x, weight, bias, orders, activation)
    expected = torch.empty_like(ours)
    for k, order in enumerate(orders):
        read = F.pad(x[:, order].mT, (taps - 1, 0))
        y = F.conv1d(read, weight[:, None], bias, groups=6).mT
        expected[:, k, order] = F.silu(y) if activation else y
    torch.testing.assert_close(ours, expected)
    cotangent = torch.randn_like(ours)
    ours_grads = torch.autograd.grad(ours, (x, weight, bias), cotangent)
    expected_grads = torch.autograd.grad(expected, (x, weight, bias), cotangent)
    for ours_grad, expected_grad in zip(ours_grads, expected_grads, strict=True):
        torch.testing.assert_close(ours_grad, expected_grad)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(dtype):
    x, weight, _ = inputs(17, 6, 4, torch.float32)
    orders = make_orders(['forward', 'shuffle'], 1, 17)
    x = x.detach().to(dtype)
    y = multi_order_conv1d(x, weight, None, orders)
    exact = multi_order_conv1d(x.double(), weight.double(), None, orders)
    assert y.dtype == dtype
    torch.testing.assert_close(y, exact.to(dtype))


def test_operator_registration():
    x, weight, bias = inputs(5, 4, 3, torch.float32)
    orders = make_orders(['forward', 'reverse'], 1, 5)
    torch.library.opcheck(torch.ops.rsmamba_mm.conv1d, (x, weight, bias, orders, True, 'torch'))


def test_refusals():
    x, weight, bias = inputs(5, 4, 3)
    orders = make_orders(['forward'], 1, 5)
    with pytest.raises(ValueError, match="activation must be 'silu' or None, got 'gelu'"):
        multi_order_conv1d(x, weight, bias, orders, 'gelu')
    with pytest.raises(ValueError, match=r'weight \(E, W\), got \(2, 5, 4\) and \(3, 3\)'):
        multi_order_conv1d(x, weight[:3], bias, orders)
    with pytest.raises(ValueError, match=r'orders must be \(K, 5\)'):
        multi_order_conv1d(x, weight, bias, orders[:, :4])
    with pytest.raises(ValueError, match=r'bias must be \(4,\), got \(3,\)'):
        multi_order_conv1d(x, weight, bias[:3], orders)
