"""The selective scan of Mamba, along one order or several, behind one operator.

Token layout: every sequence is held in the order of the tokens, channels last, whatever the order in
which it is scanned; ``orders`` says which token is read, and written, at each step. So flipped and
shuffled copies, and their inverses, exist nowhere outside a backend.
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal, overload

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .backends import load_backend, reference, resolve_backend
from .backends.contract import TENSORS, ScanInputs, check_like, check_orders_outside, check_orders_range
from .backends.registry import serving_backend
from .numerics import compute_dtype, operator_body, reduce_to


@overload
def multi_order_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = ...,
    orders: Tensor | None = ..., delta_bias: Tensor | None = ..., delta_weight: Tensor | None = ...,
    delta_softplus: bool = ..., return_last_state: Literal[False] = ...,
) -> Tensor: ...  # fmt: skip
@overload
def multi_order_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = ...,
    orders: Tensor | None = ..., delta_bias: Tensor | None = ..., delta_weight: Tensor | None = ...,
    delta_softplus: bool = ..., *, return_last_state: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def multi_order_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    orders: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_weight: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan (Mamba, arXiv:2312.00752, Alg. 2) of K sequences in one call.

    At step t of order k, reading token ``i = orders[k, t]``: ``h ← exp(Δ_i A) h + Δ_i B_i u_i`` and
    ``y_i = C_i·h + D u_i``. Half precision is computed in float32.

    Args:
        u (Tensor): ``(B, K, L, E)``, or ``(B, 1, L, E)`` for one input read along all orders.
        delta (Tensor): Step sizes, ``(B, K, L, E)``; with ``delta_weight``, ``(B, K, L, R)``.
        A (Tensor): State matrix, real, ``(E, N)`` shared by the orders or ``(K, E, N)``.
        B (Tensor): ``(B, K, L, N)``.
        C (Tensor): ``(B, K, L, N)``.
        D (Tensor, optional): Skip, ``(E,)`` or ``(K, E)``. Defaults to None.
        orders (Tensor, optional): ``(K, L)`` int64, each row a permutation of the tokens; None
            reads the tokens as they stand. Defaults to None.
        delta_bias (Tensor, optional): ``(E,)`` or ``(K, E)``, added to delta. Defaults to None.
        delta_weight (Tensor, optional): ``(E, R)`` or ``(K, E, R)``, projects delta from its low rank
            first, so that the steps of all channels need not be in memory. Defaults to None.
        delta_softplus (bool): Whether softplus follows. Defaults to False.
        return_last_state (bool): Whether to return the last state too. Defaults to False.

    Returns:
        Tensor | tuple[Tensor, Tensor]: ``(B, K, L, E)`` in token order and u's dtype; with
        ``return_last_state`` also ``(B, K, E, N)``, at least float32.

    Raises:
        ValueError: If the shapes do not fit together, or an order reads a token that is not there, or one
            twice.
        TypeError: If a tensor is complex or an integer.
        RuntimeError: If the forced backend cannot run, or not serve this.
    """
    s = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus)
    backend = resolve_backend(u.device, s)
    if backend == 'reference':
        check_orders_outside('scan', orders, s.length)
        y, last = reference.scan(s)
        return (y, last) if return_last_state else y
    tensors = (u, delta, A, B, C, D, delta_bias, delta_weight)
    keep_states = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)
    y, last, _ = torch.ops.rsmamba_mm.scan(*tensors, orders, delta_softplus, keep_states, backend)
    return (y, last.mT) if return_last_state else y


@overload
def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = ...,
    z: Tensor | None = ..., delta_bias: Tensor | None = ..., delta_softplus: bool = ...,
    return_last_state: Literal[False] = ...,
) -> Tensor: ...  # fmt: skip
@overload
def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = ...,
    z: Tensor | None = ..., delta_bias: Tensor | None = ..., delta_softplus: bool = ...,
    *, return_last_state: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Selective scan with the shapes of mamba_ssm's ``selective_scan_fn``, for real A.

    Args:
        u (Tensor): ``(B, D, L)``.
        delta (Tensor): ``(B, D, L)``.
        A (Tensor): ``(D, N)``.
        B (Tensor): ``(B, N, L)``, or ``(B, G, N, L)`` for G groups of D / G channels.
        C (Tensor): As B.
        D (Tensor, optional): ``(D,)``. Defaults to None.
        z (Tensor, optional): Gate ``(B, D, L)``: the output is multiplied by SiLU(z), in float32
            before it is rounded to half precision. Defaults to None.
        delta_bias (Tensor, optional): ``(D,)``. Defaults to None.
        delta_softplus (bool): Whether softplus follows delta + delta_bias. Defaults to False.
        return_last_state (bool): Whether to return the last state too. Defaults to False.

    Returns:
        Tensor | tuple[Tensor, Tensor]: ``(B, D, L)`` in u's dtype; with ``return_last_state`` also
        ``(B, D, N)``, at least float32.

    Raises:
        ValueError: If the shapes do not fit together.
        TypeError: If a tensor is complex or an integer.
        RuntimeError: If the forced backend cannot run.
    """
    if u.dim() != 3:
        raise ValueError(f'selective_scan: u must be (B, D, L), got {tuple(u.shape)}')
    if B.dim() not in (3, 4) or C.dim() not in (3, 4):
        raise ValueError(
            'selective_scan: B and C must be (B, N, L) or (B, G, N, L), got '
            f'{tuple(B.shape)} and {tuple(C.shape)}; input-independent B and C are not supported'
        )
    B, C = (x.unsqueeze(1) if x.dim() == 3 else x for x in (B, C))
    groups = B.shape[1]
    if C.shape[1] != groups or u.shape[1] % groups:
        raise ValueError(
            f'selective_scan: {u.shape[1]} channels with B of {groups} and C of {C.shape[1]} groups: '
            'both need the same number of groups, and it must divide the channels'
        )
    split = '(g d) -> g d'
    dtype = u.dtype
    if z is not None and dtype.is_floating_point:
        # the scan's output has u's dtype: in half precision it would be rounded before the gate too
        u = u.to(compute_dtype(u))
    y, last = multi_order_scan(
        rearrange(u, 'b (g d) l -> b g l d', g=groups),
        rearrange(delta, 'b (g d) l -> b g l d', g=groups),
        rearrange(A, '(g d) n -> g d n', g=groups),
        B.mT,
        C.mT,
        None if D is None else rearrange(D, split, g=groups),
        delta_bias=None if delta_bias is None else rearrange(delta_bias, split, g=groups),
        delta_softplus=delta_softplus,
        return_last_state=True,
    )
    y = rearrange(y, 'b g l d -> b (g d) l')
    if z is not None:
        y = (y * F.silu(z.to(y.dtype))).to(dtype)
    return (y, rearrange(last, 'b g d n -> b (g d) n')) if return_last_state else y


def _chunks(backend: ModuleType, length: int) -> int:
    """How many states a backend keeps of a sequence."""
    return -(-length // backend.chunk_length(length))


@torch.library.custom_op('rsmamba_mm::scan', mutates_args=())
@operator_body
def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_weight: Tensor | None,
    orders: Tensor | None,
    delta_softplus: bool,
    keep_states: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    s = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus)
    check_orders_range('scan', orders, s.length)
    return serving_backend(backend, 'supports', s).scan_forward(s, keep_states)


@_scan.register_fake
def _(u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus, keep_states, backend):
    batch, paths, length = delta.shape[:3]
    channels, states = A.shape[-2:]
    state = (batch, paths, states, channels)
    chunks = _chunks(load_backend(backend), length) if keep_states else 0
    dtype = compute_dtype(u)
    return (
        delta.new_empty((batch, paths, length, channels), dtype=u.dtype),
        delta.new_empty(state, dtype=dtype),
        delta.new_empty((chunks, *state), dtype=dtype),
    )


@torch.library.custom_op('rsmamba_mm::scan_backward', mutates_args=())
@operator_body
def _scan_backward(
    grad_y: Tensor,
    grad_last: Tensor | None,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_weight: Tensor | None,
    orders: Tensor | None,
    delta_softplus: bool,
    kept: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    s = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_weight, orders, delta_softplus)
    check_orders_range('scan', orders, s.length, again=True)
    module = serving_backend(backend, 'supports', s)
    kept_shape = (_chunks(module, s.length), *s.state_shape)
    check_like(
        'scan',
        u,
        grad_y=(grad_y, s.output_shape),
        grad_last=(grad_last, s.state_shape),
        kept=(kept, kept_shape),
    )
    grads = module.scan_backward(s, grad_y, grad_last, kept.to(s.dtype).contiguous())._asdict()
    if delta_weight is not None:
        grads['delta'], grads['delta_weight'] = _through_projection(s.delta, delta_weight, grads['delta'])
    tensors = s.tensors
    # an operator returns tensors: an empty one stands for the gradient of an absent input
    du, ddelta, dA, dB, dC, dD, dbias, dweight = (
        reduce_to(grads[name], tensors[name]) if name in tensors else u.new_empty(0) for name in TENSORS
    )
    return du, ddelta, dA, dB, dC, dD, dbias, dweight


def _through_projection(delta: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the steps in their low rank and of the weight, from that of the projected steps."""
    if weight.dim() == 2:
        steps, ranks = grad.flatten(0, 2), delta.flatten(0, 2)
    else:
        steps, ranks = (x.transpose(0, 1).flatten(1, 2) for x in (grad, delta))
    return grad @ weight.to(grad.dtype), steps.mT @ ranks.to(steps.dtype)


@_scan_backward.register_fake
def _(grad_y, grad_last, u, delta, A, B, C, D, delta_bias, delta_weight, *_):
    inputs = (u, delta, A, B, C, D, delta_bias, delta_weight)
    return tuple(u.new_empty(0) if x is None else x.new_empty(x.shape) for x in inputs)


def _setup_context(ctx, inputs, output):
    *tensors, orders, ctx.delta_softplus, ctx.keep_states, ctx.backend = inputs
    ctx.save_for_backward(*tensors, orders, output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_y, grad_last, _):
    *inputs, orders, kept = ctx.saved_tensors
    if grad_y is None:
        u, delta, A = inputs[:3]
        grad_y = u.new_zeros(*delta.shape[:3], A.shape[-2])
    grads = torch.ops.rsmamba_mm.scan_backward(
        grad_y, grad_last, *inputs, orders, ctx.delta_softplus, kept, ctx.backend
    )
    present = (None if x is None else grad for x, grad in zip(inputs, grads, strict=True))
    return (*present, None, None, None, None)


_scan.register_autograd(_backward, setup_context=_setup_context)
