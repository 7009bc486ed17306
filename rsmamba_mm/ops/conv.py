"""Causal depthwise convolution along several scan orders at once."""

from __future__ import annotations

import torch
from torch import Tensor

from .backends import reference
from .backends.contract import (
    check_like,
    check_orders_outside,
    check_orders_range,
    check_orders_type,
    check_real,
)
from .backends.registry import choose, serving_backend
from .numerics import operator_body, reduce_to


def multi_order_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    orders: Tensor,
    activation: str | None = 'silu',
) -> Tensor:
    """Mamba's causal depthwise conv1d of one sequence, read along K orders.

    At step t of order k, the output at token ``orders[k, t]`` sees the tokens at steps
    ``t - W + 1 … t`` of that order. Half precision is computed in float32.

    Args:
        x (Tensor): ``(B, L, E)``, in token order.
        weight (Tensor): ``(E, W)`` shared by the orders or ``(K, E, W)``.
        bias (Tensor, optional): ``(E,)`` or ``(K, E)``.
        orders (Tensor): ``(K, L)`` int64, each row a permutation of the tokens.
        activation (str, optional): ``'silu'`` or None. Defaults to ``'silu'``.

    Returns:
        Tensor: ``(B, K, L, E)`` in token order and x's dtype.

    Raises:
        ValueError: If the shapes do not fit together, the activation is another, or an order reads a token
            that is not there, or one twice.
        TypeError: If a tensor is complex or an integer.
        RuntimeError: If the forced backend cannot run, or not serve this.
    """
    if activation not in ('silu', None):
        raise ValueError(f"conv1d: activation must be 'silu' or None, got {activation!r}")
    _check(x, weight, bias, orders)
    backend = choose(x.device, 'supports_conv', x, weight)
    silu = activation == 'silu'
    if backend == 'reference':
        check_orders_outside('conv1d', orders, x.shape[1])
        return reference.conv(x, weight, bias, orders, silu)
    return torch.ops.rsmamba_mm.conv1d(x, weight, bias, orders, silu, backend)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor) -> None:
    """Refuse what does not fit, in words, before a backend reads past the end of something."""
    for name, tensor in dict(x=x, weight=weight, bias=bias).items():
        if tensor is not None:
            check_real('conv1d', name, tensor)
        if tensor is not None and tensor.device != x.device:
            raise ValueError(f'conv1d: {name} is on {tensor.device} and x on {x.device}')
    check_orders_type('conv1d', orders, x.device)
    if x.dim() != 3 or weight.dim() not in (2, 3):
        raise ValueError(
            'conv1d: x must be (B, L, E) and weight (E, W) or (K, E, W), got '
            f'{tuple(x.shape)} and {tuple(weight.shape)}'
        )
    if weight.shape[-1] == 0:
        raise ValueError(f'conv1d: weight must have at least one tap, got {tuple(weight.shape)}')
    if orders.dim() != 2 or orders.shape[1] != x.shape[1]:
        raise ValueError(
            f'conv1d: orders must be (K, {x.shape[1]}) for x of {tuple(x.shape)}, got {tuple(orders.shape)}'
        )
    paths, channels, taps = len(orders), x.shape[2], weight.shape[-1]
    for name, tensor, shape in (('weight', weight, (channels, taps)), ('bias', bias, (channels,))):
        if tensor is not None and tensor.shape not in (shape, (paths, *shape)):
            raise ValueError(
                f'conv1d: {name} must be {shape} or {(paths, *shape)} beside x of {tuple(x.shape)} and '
                f'{paths} orders, got {tuple(tensor.shape)}'
            )


@torch.library.custom_op('rsmamba_mm::conv1d', mutates_args=())
@operator_body
def _conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, orders: Tensor, silu: bool, backend: str
) -> Tensor:
    _check(x, weight, bias, orders)
    check_orders_range('conv1d', orders, x.shape[1])
    return serving_backend(backend, 'supports_conv', x, weight).conv_forward(x, weight, bias, orders, silu)


@_conv1d.register_fake
def _(x, weight, bias, orders, silu, backend):
    return x.new_empty(x.shape[0], len(orders), *x.shape[1:])


@torch.library.custom_op('rsmamba_mm::conv1d_backward', mutates_args=())
@operator_body
def _conv1d_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    orders: Tensor,
    silu: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    _check(x, weight, bias, orders)
    check_orders_range('conv1d', orders, x.shape[1], again=True)
    check_like('conv1d', x, grad_y=(grad_y, (x.shape[0], len(orders), *x.shape[1:])))
    run = serving_backend(backend, 'supports_conv', x, weight).conv_backward
    grad_x, grad_weight, grad_bias = run(grad_y, x, weight, bias, orders, silu)
    grad_bias = x.new_empty(0) if bias is None else reduce_to(grad_bias, bias)
    return reduce_to(grad_x, x), reduce_to(grad_weight, weight), grad_bias


@_conv1d_backward.register_fake
def _(grad_y, x, weight, bias, orders, silu, backend):
    grad_bias = x.new_empty(0) if bias is None else bias.new_empty(bias.shape)
    return x.new_empty(x.shape), weight.new_empty(weight.shape), grad_bias


def _setup_context(ctx, inputs, output):
    *tensors, ctx.silu, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, grad_y):
    x, weight, bias, orders = ctx.saved_tensors
    grads = torch.ops.rsmamba_mm.conv1d_backward(grad_y, x, weight, bias, orders, ctx.silu, ctx.backend)
    return *grads[:2], None if bias is None else grads[2], None, None, None


_conv1d.register_autograd(_backward, setup_context=_setup_context)
