"""What the operators and a backend of theirs agree on.

A backend is a module, entered into the table with :func:`.registry.register_backend`, with the functions

- ``chunk_length(length) -> int``: steps between two of the states kept for the backward;
- ``scan_forward(s, keep_states) -> (y, last, kept)``: of :class:`ScanInputs`, the output ``(B, K, L, E)``
  in u's dtype, the last state ``(B, K, N, E)`` and, where ``keep_states`` asks for them, the states before
  each chunk ``(chunks, B, K, N, E)``, else none of them ``(0, B, K, N, E)``; states in the computing dtype;
- ``scan_backward(s, grad_y, grad_last, kept) -> ScanGradients``: ``grad_last`` ``(B, K, N, E)`` or None;
- ``conv_forward`` and ``conv_backward``, as in :mod:`.torch_chunked`, with weights that the orders share or
  that each has of its own;

and, where it does them in one pass, ``pool_forward``, ``pool_backward``, ``merge_forward`` and
``merge_backward``, as in :mod:`.triton`.

What it cannot do it says: ``supports(s) -> str | None`` of a scan and ``supports_conv(x, weight)`` of a
convolution give the reason and the cure, or None; without them it does all. ``auto`` then asks the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..numerics import compute_dtype

# what a scan has gradients of, in the order of the operator's arguments
TENSORS = ('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias', 'delta_weight')


@dataclass(frozen=True)
class ScanInputs:
    """What a scan reads; checked when it is made. Arguments as :func:`rsmamba_mm.ops.multi_order_scan`.

    Raises:
        ValueError: If the shapes do not fit together, or the tensors lie on several devices.
        TypeError: If a tensor is complex or an integer, or the orders are not int64.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None = None
    delta_bias: Tensor | None = None
    delta_weight: Tensor | None = None
    orders: Tensor | None = None
    delta_softplus: bool = False

    def __post_init__(self) -> None:
        device, delta, A = self.u.device, self.delta.shape, self.A.shape
        for name in TENSORS:
            x = getattr(self, name)
            if x is None:
                continue
            check_real('scan', name, x)
            if x.device != device:
                raise ValueError(f'scan: {name} is on {x.device} and u on {device}')
        check_orders_type('scan', self.orders, device)
        if len(delta) != 4 or len(A) not in (2, 3):
            raise ValueError(
                f'scan: delta must be (B, K, L, E) and A (E, N) or (K, E, N), got {tuple(delta)} '
                f'and {tuple(A)}'
            )
        if A[-1] == 0:
            raise ValueError(f'scan: A must have at least one state, got {tuple(A)}')
        for name, shapes in self._shapes(*delta, *A[-2:]):
            x = getattr(self, name)
            if x is not None and x.shape not in shapes:
                wanted = ' or '.join(map(str, dict.fromkeys(shapes)))
                raise ValueError(
                    f'scan: {name} must be {wanted} beside delta of {tuple(delta)} and A of {tuple(A)}, '
                    f'got {tuple(x.shape)}'
                )
        if self.delta_weight is not None and self.rank == 0:
            weight = tuple(self.delta_weight.shape)
            raise ValueError(f'scan: delta_weight must be of rank 1 at least, got {weight}')

    def _shapes(self, batch, paths, length, steps, channels, states) -> tuple:
        """The shapes that each tensor may have beside this delta and A."""
        if self.delta_weight is None:
            steps = channels
        of_states = ((batch, paths, length, states),)
        of_channels = ((channels,), (paths, channels))
        return (
            ('delta', ((batch, paths, length, steps),)),
            ('delta_weight', ((channels, steps), (paths, channels, steps))),
            ('u', ((batch, paths, length, channels), (batch, 1, length, channels))),
            ('A', ((channels, states), (paths, channels, states))),
            ('B', of_states),
            ('C', of_states),
            ('D', of_channels),
            ('delta_bias', of_channels),
            ('orders', ((paths, length),)),
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that are there and have a gradient, by name."""
        return {name: x for name in TENSORS if (x := getattr(self, name)) is not None}

    @property
    def device(self) -> torch.device:
        return self.u.device

    @property
    def batch(self) -> int:
        return self.delta.shape[0]

    @property
    def paths(self) -> int:
        """Orders K."""
        return self.delta.shape[1]

    @property
    def length(self) -> int:
        return self.delta.shape[2]

    @property
    def channels(self) -> int:
        return self.A.shape[-2]

    @property
    def states(self) -> int:
        """States N of a channel."""
        return self.A.shape[-1]

    @property
    def rank(self) -> int:
        """Of the step sizes; 0 if they are given in full."""
        return 0 if self.delta_weight is None else self.delta_weight.shape[-1]

    @property
    def one_u(self) -> bool:
        """Whether several orders read one and the same input."""
        return self.u.shape[1] != self.paths

    @property
    def dtype(self) -> torch.dtype:
        """In which it is computed."""
        return compute_dtype(self.u)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        batch, paths, length, _ = self.delta.shape
        return batch, paths, length, self.A.shape[-2]

    @property
    def state_shape(self) -> tuple[int, int, int, int]:
        """Of the states at one step, channels innermost."""
        (batch, paths), (channels, states) = self.delta.shape[:2], self.A.shape[-2:]
        return batch, paths, states, channels


class ScanGradients(NamedTuple):
    """Gradients as a backend leaves them: of each order on its own, in the computing dtype or the tensor's.

    Where orders share a tensor, :func:`rsmamba_mm.ops.numerics.reduce_to` sums them afterwards.

    Attributes:
        u (Tensor): ``(B, K, L, E)``.
        delta (Tensor): Of the projected steps, ``(B, K, L, E)``.
        A (Tensor): ``(K, E, N)``.
        B (Tensor): ``(B, K, L, N)``.
        C (Tensor): ``(B, K, L, N)``.
        D (Tensor, optional): ``(K, E)``; read only where there is a D.
        delta_bias (Tensor, optional): ``(K, E)``; read only where there is a bias.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None


def check_real(name: str, key: str, x: Tensor) -> None:
    """Refuse a tensor whose numbers no operator computes with."""
    if not x.is_floating_point():
        raise TypeError(f'{name}: {key} must be real floating point, got {x.dtype}')
    if x.element_size() < 2:
        raise TypeError(f'{name}: {key} must be of 16 bits or more, got {x.dtype}: use {key}.bfloat16()')


def check_orders_type(name: str, orders: Tensor | None, device: torch.device) -> None:
    """Refuse orders that are no int64 indices on the device of the tokens."""
    if orders is None:
        return
    if orders.dtype != torch.int64:
        raise TypeError(f'{name}: orders must be int64 indices, got {orders.dtype}: use orders.long()')
    if orders.device != device:
        raise ValueError(f'{name}: orders are on {orders.device} and the tokens on {device}')


def check_orders_range(name: str, orders: Tensor | None, length: int, again: bool = False) -> None:
    """Refuse orders that read outside of the sequence, before a backend does; on the CPU, also those that
    are no permutations: what none reads, none writes.

    On a device the answer is not waited for: the device stops there, and it is not asked twice.

    Args:
        name (str): Of the operator, for the message.
        orders (Tensor, optional): ``(K, L)`` int64.
        length (int): Tokens L.
        again (bool): Whether a forward has had the same orders. Defaults to False.

    Raises:
        ValueError: If an entry is negative or not below ``length``; on the CPU, if a row reads one twice.
    """
    if orders is None or orders.numel() == 0:
        return
    if orders.device.type != 'cpu':
        if not again:
            _assert_range(name, orders, length)
        return
    low, high = orders.aminmax()
    if low.item() >= 0 and high.item() < length:
        if again:
            return
        is_read = torch.zeros(orders.shape, dtype=torch.bool).scatter_(1, orders, True)
        if not is_read.all():
            row, token = (~is_read).nonzero()[0].tolist()
            raise ValueError(
                f'{name}: order {row} never reads token {token} and another one twice: each row of orders '
                f'must be a permutation of the tokens 0 to {length - 1}'
            )
        return
    row, step = ((orders < 0) | (orders >= length)).nonzero()[0].tolist()
    raise ValueError(
        f'{name}: order {row} reads token {orders[row, step].item()} at step {step}, and the tokens of a '
        f'sequence of length {length} are 0 to {length - 1}'
    )


def check_orders_outside(name: str, orders: Tensor | None, length: int) -> None:
    """As :func:`check_orders_range` outside of an operator, where there may be no values to look at."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if not traced and type(orders) is Tensor and not orders.is_meta:
        check_orders_range(name, orders, length)


# orders on a device that were found in range: for which length, and as which version of the tensor
_IN_RANGE = WeakTensorKeyDictionary()


def _assert_range(name: str, orders: Tensor, length: int) -> None:
    """As :func:`check_orders_range` without waiting for the device; once for a tensor as it stands."""
    state = None if orders.is_inference() else (length, orders._version)
    if state is not None and _IN_RANGE.get(orders) == state:
        return
    low, high = orders.aminmax()
    message = f'{name}: an order reads outside of a sequence of length {length}'
    torch._assert_async((low >= 0) & (high < length), message)
    _IN_RANGE[orders] = state


def check_like(name: str, like: Tensor, **tensors: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Refuse what an operator is given beside its inputs where it has not the shape that is due.

    Args:
        name (str): Of the operator, for the message.
        like (Tensor): One of its inputs, for the device.
        **tensors: Tensors, or None, and the shapes due.

    Raises:
        ValueError: If one has another shape, no real numbers, or lies on another device.
    """
    for key, (x, shape) in tensors.items():
        if x is None or (x.shape == shape and x.device == like.device and x.is_floating_point()):
            continue
        raise ValueError(
            f'{name}: {key} must be floating point {tuple(shape)} on {like.device}, got {x.dtype} '
            f'{tuple(x.shape)} on {x.device}'
        )
