"""What the scan and the convolution cost, for torch's and MMEngine's counters of operations."""

from __future__ import annotations

from torch.utils.flop_counter import register_flop_formula

from . import conv, scan


def scan_flops(batch: int, length: int, channels: int, states: int, skip: bool = True) -> int:
    """Operations of a selective scan: ``9·B·L·D·N``, and ``B·D·L`` for the skip, as is usual.

    Args:
        batch (int): Number of sequences B; of a multi-order scan, images times orders.
        length (int): Steps L.
        channels (int): Channels D.
        states (int): States N per channel.
        skip (bool): Whether there is a skip. Defaults to True.

    Returns:
        int: The count.
    """
    return batch * length * channels * (9 * states + skip)


def scan_flops_of_shapes(u, delta, A, B, C, D=None, *args, **kwargs) -> int:
    """:func:`scan_flops` of the shapes of the operator's arguments."""
    batch, paths, length = delta[:3]
    return scan_flops(batch * paths, length, *A[-2:], skip=D is not None)


def step_flops_of_shapes(
    u, delta, A, B, C, D=None, delta_bias=None, delta_weight=None, *args, **kwargs
) -> int:
    """Multiply-adds of the projection of the low-rank steps, two operations each."""
    if delta_weight is None:
        return 0
    batch, paths, length = delta[:3]
    return 2 * batch * paths * length * delta_weight[-2] * delta_weight[-1]


def conv_flops_of_shapes(x, weight, bias, orders, *args, **kwargs) -> int:
    """Multiply-adds of the causal convolution, two operations each."""
    batch, length, channels = x
    return 2 * batch * orders[0] * length * channels * weight[-1]


@register_flop_formula(scan._scan._opoverload.overloadpacket)
def _scan_forward(*shapes, out_shape=None, **kwargs) -> int:
    return scan_flops_of_shapes(*shapes) + step_flops_of_shapes(*shapes)


@register_flop_formula(scan._scan_backward._opoverload.overloadpacket)
def _scan_backward(grad_y, grad_last, *shapes, out_shape=None, **kwargs) -> int:
    return 2 * (scan_flops_of_shapes(*shapes) + step_flops_of_shapes(*shapes))


@register_flop_formula(conv._conv1d._opoverload.overloadpacket)
def _conv_forward(*shapes, out_shape=None, **kwargs) -> int:
    return conv_flops_of_shapes(*shapes)


@register_flop_formula(conv._conv1d_backward._opoverload.overloadpacket)
def _conv_backward(grad_y, *shapes, out_shape=None, **kwargs) -> int:
    return 2 * conv_flops_of_shapes(*shapes)
