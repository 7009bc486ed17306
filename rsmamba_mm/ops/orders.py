"""Scan orders: named permutations of the tokens, kept in one open registry.

A scan order visits the ``L`` tokens of a sequence one by one: entry ``t`` of its index is the token
read at step ``t``. RSMamba scans forward, reverse and shuffled; SS2D scans the rows, the columns and
both reversed. A new order is one function of the grid's height and width::

    @register_order('column', grid=True)
    def column(height, width):
        return torch.arange(height * width).view(height, width).t().flatten()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

OrderFunction = Callable[..., Tensor]


@dataclass(frozen=True)
class ScanOrder:
    """A named order.

    Attributes:
        name (str): Its name in the registry.
        function (Callable): ``(height, width) -> (height * width,)`` int64 index; a random order
            takes a third argument, an optional ``torch.Generator``.
        grid (bool): Whether the order depends on the two-dimensional layout of the tokens. An order
            that does not is applied to the whole sequence, class tokens included; a grid order
            leaves class tokens in their slots.
        random (bool): Whether each call draws a new permutation.
    """

    name: str
    function: OrderFunction
    grid: bool = False
    random: bool = False


SCAN_ORDERS: dict[str, ScanOrder] = {}


def register_order(
    name: str, *, grid: bool = False, random: bool = False
) -> Callable[[OrderFunction], OrderFunction]:
    """Register a function as a named scan order (decorator).

    Args:
        name (str): The name by which options and :func:`make_orders` know it.
        grid (bool): Whether it needs the tokens' height and width. Defaults to False.
        random (bool): Whether it draws a new permutation at each call, from the
            ``torch.Generator`` that it is given as third argument. Defaults to False.

    Raises:
        ValueError: If the name is taken.
    """

    def add(function: OrderFunction) -> OrderFunction:
        if name in SCAN_ORDERS:
            raise ValueError(f"scan order '{name}' is registered already: choose another name")
        SCAN_ORDERS[name] = ScanOrder(name, function, grid, random)
        return function

    return add


def get_order(name: str) -> ScanOrder:
    """The order of that name.

    Raises:
        ValueError: If there is none; the message lists those there are.
    """
    try:
        return SCAN_ORDERS[name]
    except (KeyError, TypeError):
        known = ', '.join(sorted(SCAN_ORDERS))
        raise ValueError(
            f'unknown scan order {name!r}. Known orders: {known}. '
            'Add your own with rsmamba_mm.ops.register_order.'
        ) from None


def make_orders(
    names: Sequence[str],
    height: int,
    width: int,
    cls_slots: Sequence[int] = (),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Indices of several orders for one grid of tokens.

    Args:
        names (Sequence[str]): Names of the K orders.
        height (int): Height of the token grid.
        width (int): Width of the token grid.
        cls_slots (Sequence[int]): Where class tokens stand in the sequence. Defaults to none.
        generator (torch.Generator, optional): Source of the random orders. Defaults to torch's
            global CPU generator.

    Returns:
        Tensor: ``(K, L)`` int64 on CPU, with ``L = height * width + len(cls_slots)``; row k is a
        permutation of ``0 … L-1``.
    """
    length = height * width + len(cls_slots)
    indices = torch.empty(len(names), length, dtype=torch.long)
    for row, name in zip(indices, names, strict=True):
        order = get_order(name)
        size = (height, width) if order.grid else (1, length)
        index = order.function(*size, generator) if order.random else order.function(*size)
        if order.grid and cls_slots:
            is_patch = torch.ones(length, dtype=torch.bool)
            is_patch[list(cls_slots)] = False
            patches = is_patch.nonzero().flatten()
            torch.arange(length, out=row)
            row[patches] = patches[index]
        else:
            row.copy_(index)
    return indices


def fixed_orders(
    names: Sequence[str], height: int, width: int, device: torch.device, cls_slots: Sequence[int] = ()
) -> Tensor:
    """As :func:`make_orders`, on a device and kept there: for orders that a model asks for at each call.

    The last 64 are kept; a captured CUDA graph needs its own to be among them.

    Raises:
        ValueError: If one of the orders is random.
    """
    random = [name for name in names if get_order(name).random]
    if random:
        raise ValueError(f'scan order {random[0]!r} is random, and fixed_orders keeps what it makes')
    return _constant_orders(tuple(names), height, width, device, tuple(cls_slots))


@torch.compiler.assume_constant_result
def _constant_orders(*arguments) -> Tensor:
    return _kept_orders(*arguments)


@lru_cache(maxsize=64)
def _kept_orders(names, height, width, device, cls_slots) -> Tensor:
    # a tensor made in inference mode could not be saved for a later backward
    with torch.inference_mode(False):
        return make_orders(names, height, width, cls_slots).to(device)


def invert_orders(orders: Tensor) -> Tensor:
    """The inverse permutations: entry ``i`` of a row is the step at which token ``i`` is read.

    Args:
        orders (Tensor): ``(K, L)`` int64.

    Returns:
        Tensor: ``(K, L)`` int64.
    """
    steps = torch.arange(orders.shape[1], device=orders.device).expand_as(orders)
    return torch.empty_like(orders).scatter_(1, orders, steps)


def take(x: Tensor, orders: Tensor | None) -> Tensor:
    """Read tokens along each order.

    Args:
        x (Tensor): ``(B, K, L, …)``, or ``(B, 1, L, …)`` to read one sequence along all orders.
        orders (Tensor, optional): ``(K, T)``: the tokens to read; None leaves ``x`` as it is.

    Returns:
        Tensor: ``(B, K, T, …)``, entry ``[b, k, t] = x[b, k, orders[k, t]]``.
    """
    if orders is None:
        return x
    paths = torch.arange(len(orders), device=orders.device) if x.shape[1] > 1 else orders.new_zeros(1)
    return x[:, paths[:, None], orders]


@register_order('forward')
def _forward(height: int, width: int) -> Tensor:
    return torch.arange(height * width)


@register_order('reverse')
def _reverse(height: int, width: int) -> Tensor:
    return _forward(height, width).flip(0)


@register_order('shuffle', random=True)
def _shuffle(height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    # without a generator exactly one plain call, so that a run can be replayed from torch's seed
    if generator is None:
        return torch.randperm(height * width)
    return torch.randperm(height * width, generator=generator)


@register_order('column', grid=True)
def _column(height: int, width: int) -> Tensor:
    return _forward(height, width).view(height, width).t().flatten()


@register_order('column_reverse', grid=True)
def _column_reverse(height: int, width: int) -> Tensor:
    return _column(height, width).flip(0)


@register_order('snake', grid=True)
def _snake(height: int, width: int) -> Tensor:
    rows = _forward(height, width).view(height, width).clone()
    rows[1::2] = rows[1::2].flip(1)
    return rows.flatten()


@register_order('snake_reverse', grid=True)
def _snake_reverse(height: int, width: int) -> Tensor:
    return _snake(height, width).flip(0)
