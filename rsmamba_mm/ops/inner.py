"""What stands between the two projections of a Mamba mixer, with little kept for the backward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .backends import ScanInputs, resolve_backend
from .backends.registry import choose
from .conv import multi_order_conv1d
from .scan import multi_order_scan


def mamba_inner(
    x: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor | None,
    x_proj_weight: Tensor,
    dt_proj_weight: Tensor,
    dt_proj_bias: Tensor | None,
    A: Tensor,
    D: Tensor | None,
    orders: Tensor,
) -> Tensor:
    """Convolution, input-dependent step, B and C, and scan of a sequence along K orders.

    ``u = SiLU(conv1d(x))``, ``(δ, B, C) = x_proj(u)``, ``y = scan(u, softplus(dt_proj(δ)), A, B, C, D)``
    (Mamba, arXiv:2312.00752, Alg. 2). For the backward the convolution is computed again instead of being
    kept: it is K times the input's size and takes a hundredth of the time.

    Args:
        x (Tensor): ``(B, L, E)``, in token order.
        conv_weight (Tensor): ``(E, W)``; this and each of the following may also be of each order on its
            own, here ``(K, E, W)``.
        conv_bias (Tensor, optional): ``(E,)`` or ``(K, E)``.
        x_proj_weight (Tensor): ``(R + 2N, E)`` or ``(K, R + 2N, E)``.
        dt_proj_weight (Tensor): ``(E, R)`` or ``(K, E, R)``.
        dt_proj_bias (Tensor, optional): ``(E,)`` or ``(K, E)``.
        A (Tensor): ``(E, N)`` or ``(K, E, N)``.
        D (Tensor, optional): ``(E,)`` or ``(K, E)``.
        orders (Tensor): ``(K, L)`` int64, each row a permutation of the tokens.

    Returns:
        Tensor: ``(B, K, L, E)`` in token order and x's dtype.

    Raises:
        ValueError: If the shapes do not fit together.
        RuntimeError: If the forced backend cannot run.
    """
    _check_projection(x_proj_weight, dt_proj_weight, A, orders)
    tensors = (x, conv_weight, conv_bias, x_proj_weight, dt_proj_weight, dt_proj_bias, A, D)
    differentiable = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    # a trace, as MMEngine's counter makes one, should show the operators
    if differentiable and resolve_backend(x.device) != 'reference' and not torch.jit.is_tracing():
        return _MambaInner.apply(*tensors, orders)
    u = multi_order_conv1d(x, conv_weight, conv_bias, orders)
    dt, B, C = _parts(_project(u, x_proj_weight), dt_proj_weight, A)
    return multi_order_scan(
        u, dt, A, B, C, D, orders, dt_proj_bias, delta_weight=dt_proj_weight, delta_softplus=True
    )


def _check_projection(weight: Tensor, dt_weight: Tensor, A: Tensor, orders: Tensor) -> None:
    """Refuse a projection that does not fit; the other shapes the operators check."""
    if A.dim() in (2, 3) and dt_weight.dim() in (2, 3):
        shape = (dt_weight.shape[-1] + 2 * A.shape[-1], A.shape[-2])
        if weight.shape not in (shape, (len(orders), *shape)):
            raise ValueError(
                f'mamba_inner: x_proj_weight must be {shape} or {(len(orders), *shape)} beside '
                f'dt_proj_weight of {tuple(dt_weight.shape)} and A of {tuple(A.shape)}, got '
                f'{tuple(weight.shape)}'
            )


def _project(u: Tensor, weight: Tensor) -> Tensor:
    """``(B, K, L, E)`` to ``(B, K, L, X)``, by one weight ``(X, E)`` or one for each order."""
    return F.linear(u, weight) if weight.dim() == 2 else torch.einsum('bkle,kxe->bklx', u, weight)


def _project_backward(grad: Tensor, u: Tensor, weight: Tensor, grad_u: Tensor) -> Tensor:
    """Gradient of the weight of :func:`_project`; that of u is added to ``grad_u``."""
    if weight.dim() == 2:
        grad = grad.flatten(0, -2)
        grad_u.flatten(0, -2).addmm_(grad.to(grad_u.dtype), weight.to(grad_u.dtype))
        return grad.mT @ u.flatten(0, -2).to(grad.dtype)
    grad_u += torch.einsum('bklx,kxe->bkle', grad.to(grad_u.dtype), weight.to(grad_u.dtype))
    return torch.einsum('bklx,bkle->kxe', grad, u.to(grad.dtype))


def _parts(projected: Tensor, dt_weight: Tensor, A: Tensor) -> tuple[Tensor, ...]:
    """The parts of the projection: low-rank step, B and C."""
    rank, states = dt_weight.shape[-1], A.shape[-1]
    return projected.split([rank, states, states], dim=-1)


class _MambaInner(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, conv_weight, conv_bias, x_proj_weight, dt_weight, dt_bias, A, D, orders):
        conv_backend = choose(x.device, 'supports_conv', x, conv_weight)
        u = multi_order_conv1d(x, conv_weight, conv_bias, orders)
        projected = _project(u, x_proj_weight)
        dt, B, C = _parts(projected, dt_weight, A)
        scan = (u, dt, A, B, C, D, dt_bias, dt_weight, orders, True)
        scan_backend = resolve_backend(x.device, ScanInputs(*scan))
        y, _, kept = torch.ops.rsmamba_mm.scan(*scan, True, scan_backend)
        ctx.backends = conv_backend, scan_backend
        ctx.save_for_backward(
            x, conv_weight, conv_bias, x_proj_weight, dt_weight, dt_bias, A, D, orders, projected, kept
        )
        return y

    @staticmethod
    def backward(ctx, *grad_outputs):
        (grad_y,) = grad_outputs
        x, conv_weight, conv_bias, weight, dt_weight, dt_bias, A, D, orders, projected, kept = (
            ctx.saved_tensors
        )
        conv_backend, scan_backend = ctx.backends
        u = torch.ops.rsmamba_mm.conv1d(x, conv_weight, conv_bias, orders, True, conv_backend)
        dt, B, C = _parts(projected, dt_weight, A)
        grad_u, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_bias, grad_dt_weight = (
            torch.ops.rsmamba_mm.scan_backward(
                grad_y, None, u, dt, A, B, C, D, dt_bias, dt_weight, orders, True, kept, scan_backend
            )
        )
        grad_weight = _project_backward(torch.cat([grad_dt, grad_B, grad_C], -1), u, weight, grad_u)
        del u
        grad_x, grad_conv_weight, grad_conv_bias = torch.ops.rsmamba_mm.conv1d_backward(
            grad_u, x, conv_weight, conv_bias, orders, True, conv_backend
        )
        return (
            grad_x,
            grad_conv_weight,
            None if conv_bias is None else grad_conv_bias,
            grad_weight.to(weight.dtype),
            grad_dt_weight,
            None if dt_bias is None else grad_bias,
            grad_A,
            None if D is None else grad_D,
            None,
        )
