"""The inner part of a mixer: its own backward against autograd through the operators it is made of."""

import pytest
import torch

from rsmamba_mm.ops import make_orders, mamba_inner, multi_order_conv1d, multi_order_scan, use_backend

ORDERS = make_orders(['forward', 'reverse', 'shuffle'], 3, 7)
CHANNELS, RANK, STATES = 10, 3, 4


def arguments(dtype=torch.float64, absent=(), own=()):
    torch.manual_seed(0)
    shapes = dict(
        x=(2, 21, CHANNELS),
        conv_weight=(*own, CHANNELS, 4),
        conv_bias=(*own, CHANNELS),
        x_proj_weight=(*own, RANK + 2 * STATES, CHANNELS),
        dt_proj_weight=(*own, CHANNELS, RANK),
        dt_proj_bias=(*own, CHANNELS),
        A=(*own, CHANNELS, STATES),
        D=(*own, CHANNELS),
    )
    tensors = {name: None if name in absent else torch.randn(shape) for name, shape in shapes.items()}
    tensors['A'] = -tensors['A'].abs()
    # below 20, where F.softplus becomes the identity and the backends' slopes differ by 2e-9
    tensors['dt_proj_weight'] /= 8
    return {name: t if t is None else t.to(dtype).requires_grad_() for name, t in tensors.items()}


def composed(x, conv_weight, conv_bias, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D, orders):
    u = multi_order_conv1d(x, conv_weight, conv_bias, orders)
    dt, B, C = (u @ x_proj_weight.mT).split([RANK, STATES, STATES], -1)
    return multi_order_scan(
        u, dt, A, B, C, D, orders, dt_proj_bias, delta_weight=dt_proj_weight, delta_softplus=True
    )


@pytest.mark.parametrize('absent', [(), ('conv_bias', 'dt_proj_bias', 'D')])
@pytest.mark.parametrize('own', [(), (3,)], ids=['shared', 'per-order'])
@pytest.mark.parametrize('backend', ['reference', 'torch', 'auto'])
def test_gradients_are_those_of_the_operators(backend, own, absent):
    tensors = arguments(absent=absent, own=own)
    present = [t for t in tensors.values() if t is not None]
    with use_backend('reference'):
        expected = composed(**tensors, orders=ORDERS)
    cotangent = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, present, cotangent)
    with use_backend(backend):
        y = mamba_inner(**tensors, orders=ORDERS)
    # the backend is that of the forward, whatever holds later
    with use_backend('torch'):
        torch.testing.assert_close(torch.autograd.grad(y, present, cotangent), gradients)
    torch.testing.assert_close(y, expected)


def test_frozen_parameters_get_no_gradient():
    tensors = arguments()
    tensors['x_proj_weight'].requires_grad_(False)
    mamba_inner(**tensors, orders=ORDERS).sum().backward()
    assert tensors['x_proj_weight'].grad is None
    assert all(t.grad.isfinite().all() for name, t in tensors.items() if name != 'x_proj_weight')


@pytest.mark.parametrize('backend', ['reference', 'torch', 'auto'])
def test_two_directions_of_their_own_are_two_mixers(backend):
    """As Vim has them: each direction with all its parameters."""
    tensors, orders = arguments(own=(2,)), ORDERS[:2]
    cotangent = torch.randn(2, 2, 21, CHANNELS).double()
    with use_backend(backend):
        both = mamba_inner(**tensors, orders=orders)
        each = [
            mamba_inner(
                **{n: t if n == 'x' else t[k] for n, t in tensors.items()}, orders=orders[k : k + 1]
            )
            for k in range(2)
        ]
    each = torch.cat(each, 1)
    torch.testing.assert_close(both, each)
    gradients = (torch.autograd.grad(y, list(tensors.values()), cotangent) for y in (both, each))
    torch.testing.assert_close(*gradients)


def test_a_projection_that_does_not_fit_is_refused():
    tensors = arguments(own=(2,))
    message = r'x_proj_weight must be \(11, 10\) or \(3, 11, 10\) beside .*, got \(2, 11, 10\)'
    with pytest.raises(ValueError, match=f'mamba_inner: {message}'):
        mamba_inner(**tensors, orders=ORDERS)


def test_the_convolution_is_not_kept():
    def kept(function):
        seen = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: seen.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
        ):
            y = function(**arguments(torch.float32), orders=ORDERS)
        return sum(t.untyped_storage().nbytes() for t in seen.values()), y

    (small, y), (large, _) = kept(mamba_inner), kept(composed)
    assert small <= large - y.numel() * 4
