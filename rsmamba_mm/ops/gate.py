"""Pooling and merging of the scanned paths, each one pass over memory where a backend has it so."""

from __future__ import annotations

import torch
from torch import Tensor

from .backends import offers, reference, resolve_backend
from .backends.contract import check_like, check_real
from .backends.registry import serving_backend
from .numerics import operator_body


def pool_paths(y: Tensor, z: Tensor) -> Tensor:
    """Mean over the tokens of each path's gated output, ``mean_L(y_k · SiLU(z))``.

    Args:
        y (Tensor): Scanned paths, ``(B, K, L, E)``.
        z (Tensor): Gate of the mixer, ``(B, L, E)``.

    Returns:
        Tensor: ``(B, K, E)``.

    Raises:
        ValueError: If the shapes do not fit together.
        TypeError: If a tensor is complex or an integer.
    """
    _check(y, z)
    backend = _fused(y)
    return reference.pool(y, z) if backend is None else torch.ops.rsmamba_mm.pool(y, z, backend)


def merge_paths(y: Tensor, z: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the paths' gated outputs, ``SiLU(z) · Σ_k w_k y_k``.

    Args:
        y (Tensor): Scanned paths, ``(B, K, L, E)``.
        z (Tensor): Gate of the mixer, ``(B, L, E)``.
        weights (Tensor): ``(B, K)``.

    Returns:
        Tensor: ``(B, L, E)``.

    Raises:
        ValueError: If the shapes do not fit together.
        TypeError: If a tensor is complex or an integer.
    """
    _check(y, z, weights)
    backend = _fused(y)
    if backend is None:
        return reference.merge(y, z, weights)
    return torch.ops.rsmamba_mm.merge(y, z, weights, backend)


def _check(y: Tensor, z: Tensor, weights: Tensor | None = None) -> None:
    if y.dim() != 4 or z.shape != (y.shape[0], *y.shape[2:]):
        raise ValueError(
            f'paths: y must be (B, K, L, E) and z (B, L, E), got {tuple(y.shape)} and {tuple(z.shape)}'
        )
    if weights is not None and weights.shape != y.shape[:2]:
        raise ValueError(f'paths: weights must be {tuple(y.shape[:2])}, got {tuple(weights.shape)}')
    for name, x in dict(y=y, z=z, weights=weights).items():
        if x is not None:
            check_real('paths', name, x)
        if x is not None and x.device != y.device:
            raise ValueError(f'paths: {name} is on {x.device} and y on {y.device}')


def _fused(y: Tensor) -> str | None:
    """The backend that does this in one pass, or None for plain PyTorch."""
    backend = resolve_backend(y.device)
    return backend if offers(backend, 'pool_forward') else None


@torch.library.custom_op('rsmamba_mm::pool', mutates_args=())
@operator_body
def _pool(y: Tensor, z: Tensor, backend: str) -> Tensor:
    _check(y, z)
    return serving_backend(backend, '', y).pool_forward(y, z)


@_pool.register_fake
def _(y, z, backend):
    return y.new_empty(*y.shape[:2], y.shape[3])


@torch.library.custom_op('rsmamba_mm::pool_backward', mutates_args=())
@operator_body
def _pool_backward(grad: Tensor, y: Tensor, z: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    _check(y, z)
    check_like('paths', y, grad=(grad, (*y.shape[:2], y.shape[3])))
    return serving_backend(backend, '', y).pool_backward(grad, y, z)


@_pool_backward.register_fake
def _(grad, y, z, backend):
    return y.new_empty(y.shape), z.new_empty(z.shape)


@torch.library.custom_op('rsmamba_mm::merge', mutates_args=())
@operator_body
def _merge(y: Tensor, z: Tensor, weights: Tensor, backend: str) -> Tensor:
    _check(y, z, weights)
    return serving_backend(backend, '', y).merge_forward(y, z, weights)


@_merge.register_fake
def _(y, z, weights, backend):
    return y.new_empty(z.shape)


@torch.library.custom_op('rsmamba_mm::merge_backward', mutates_args=())
@operator_body
def _merge_backward(
    grad: Tensor, y: Tensor, z: Tensor, weights: Tensor, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    _check(y, z, weights)
    check_like('paths', y, grad=(grad, tuple(z.shape)))
    return serving_backend(backend, '', y).merge_backward(grad, y, z, weights)


@_merge_backward.register_fake
def _(grad, y, z, weights, backend):
    return y.new_empty(y.shape), z.new_empty(z.shape), weights.new_empty(weights.shape)


def _setup_context(ctx, inputs, output):
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _pool_grads(ctx, grad):
    return *torch.ops.rsmamba_mm.pool_backward(grad, *ctx.saved_tensors, ctx.backend), None


def _merge_grads(ctx, grad):
    return *torch.ops.rsmamba_mm.merge_backward(grad, *ctx.saved_tensors, ctx.backend), None


_pool.register_autograd(_pool_grads, setup_context=_setup_context)
_merge.register_autograd(_merge_grads, setup_context=_setup_context)
