"""Scan orders: named permutations of the tokens, kept in one open registry.

A scan order visits the ``L`` tokens of a sequence one by one: entry ``t`` of its index is the token
read at step ``t``. RSMamba scans forward, reverse and shuffled; SS2D scans the rows, the columns and
both reversed. A new order is one function of the grid's height and width::

    @register_order('column', grid=True)
    def column(height, width):
        return torch.arange(height * width).view(height, width).t().flatten()

What such a function returns is checked before it is used: a backend reads and writes through it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, wraps

import torch
from torch import Tensor

OrderFunction = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)  # by identity: a callable object may have no hash
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
        checked (bool): Whether what the function returns is checked; not so for this module's own
            orders, which the tests hold.
    """

    name: str
    function: OrderFunction
    grid: bool = False
    random: bool = False
    checked: bool = True


SCAN_ORDERS: dict[str, ScanOrder] = {}


def register_order(
    name: str, *, grid: bool = False, random: bool = False
) -> Callable[[OrderFunction], OrderFunction]:
    """Register a function as a named scan order (decorator).

    The function is not tried here: it may lean on what its module defines further down, or exist for
    some grids only and raise an error of its own for the others.

    Args:
        name (str): The name by which options and :func:`make_orders` know it.
        grid (bool): Whether it needs the tokens' height and width. Defaults to False.
        random (bool): Whether it draws a new permutation at each call, from the
            ``torch.Generator`` that it is given as third argument. Defaults to False.

    Raises:
        ValueError: If the name is taken or empty.
        TypeError: If the name is no string, or the function cannot be called as an order is.
    """
    if not isinstance(name, str):
        raise TypeError(f"a scan order is registered by @register_order('name'), got the name {name!r}")
    if not name:
        raise ValueError('the name of a scan order must not be empty')

    def add(function: OrderFunction) -> OrderFunction:
        if name in SCAN_ORDERS:
            raise ValueError(f"scan order '{name}' is registered already: choose another name")
        _refuse_other_callables(name, function, random)
        own = getattr(function, '__module__', None) == __name__
        SCAN_ORDERS[name] = ScanOrder(name, function, grid, random, checked=not own)
        return function

    return add


def _refuse_other_callables(name: str, function: OrderFunction, random: bool) -> None:
    arguments = ('height', 'width', 'generator') if random else ('height', 'width')
    wanted = f'scan order {name!r} must be a function of ({", ".join(arguments)})'
    if not callable(function):
        raise TypeError(f'{wanted}, got {function!r}')
    try:
        signature = inspect.signature(function)
    except ValueError:  # some of those written in C have none
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f'{wanted}, got one of {signature}: {error}') from None


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

    Raises:
        ValueError: If a name is unknown, or a registered function returns no permutation.
    """
    length = height * width + len(cls_slots)
    indices = torch.empty(len(names), length, dtype=torch.long)
    for row, name in zip(indices, names, strict=True):
        order = get_order(name)
        size = (height, width) if order.grid else (1, length)
        index = _order_index(order, *size, generator)
        if order.grid and cls_slots:
            is_patch = torch.ones(length, dtype=torch.bool)
            is_patch[list(cls_slots)] = False
            patches = is_patch.nonzero().flatten()
            torch.arange(length, out=row)
            row[patches] = patches[index]
        else:
            row.copy_(index)
    return indices


def kept(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep what a function makes of its last 64 arguments (decorator)."""

    @lru_cache(maxsize=64)
    @wraps(make)
    def make_real(*arguments) -> Tensor:
        # a tensor made in inference mode could not be saved for a later backward, and one made while a
        # graph is traced (torch.export) holds no data: a thread of its own is in none of these modes
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(make, *arguments).result()

    return make_real


def _order_index(order: ScanOrder, height: int, width: int, generator: torch.Generator | None) -> Tensor:
    """The index of one order, checked."""
    if order.random:
        index = order.function(height, width, generator)
    elif order.checked and not torch.compiler.is_compiling():
        return _checked_once(order, height, width)
    else:
        index = order.function(height, width)
    return _checked(index, order.name, height, width) if order.checked else index


@kept
def _checked_once(order: ScanOrder, height: int, width: int) -> Tensor:
    # a copy: the function may hand out a buffer that it writes to again
    return _checked(order.function(height, width), order.name, height, width).to('cpu', copy=True)


def _checked(index: Tensor, name: str, height: int, width: int) -> Tensor:
    if not isinstance(index, Tensor):
        raise ValueError(
            f'scan order {name!r} on a grid of ({height}, {width}) returned {type(index).__name__}, '
            'not a tensor'
        )
    return torch.ops.rsmamba_mm.checked_order(index, name, height, width)


# an operator, so that a compiled graph checks as well what it draws
@torch.library.custom_op('rsmamba_mm::checked_order', mutates_args=())
def _checked_order(index: Tensor, name: str, height: int, width: int) -> Tensor:
    length = height * width
    if index.dtype == torch.long and index.shape == (length,) and _reads_all(index):
        return index.clone()
    raise ValueError(f'scan order {name!r} on a grid of ({height}, {width}): {_first_fault(index, length)}')


@_checked_order.register_fake
def _(index, name, height, width):
    return index.new_empty(height * width, dtype=torch.long)


def _reads_all(index: Tensor) -> bool:
    """Whether each of as many tokens as there are steps is read."""
    if len(index) == 0:
        return True
    first, last = index.aminmax()
    if first < 0 or last >= len(index):
        return False
    return bool(torch.zeros_like(index, dtype=torch.bool).index_fill_(0, index, True).all())


def _first_fault(index: Tensor, length: int) -> str:
    """What is wrong with an index that is no permutation, at its first wrong step."""
    if index.dim() != 1:
        return f'its shape is {tuple(index.shape)}, but must be ({length},)'
    entries = index.tolist()
    if index.dtype != torch.long:
        first = f': step 0 reads {entries[0]}' if entries else ''
        return f'its entries must be int64, but are {str(index.dtype).removeprefix("torch.")}{first}'
    step_of = {}
    for step, token in enumerate(entries):
        if step >= length:
            return f'step {step} reads token {token}, but there are only {length} steps'
        if not 0 <= token < length:
            return f'step {step} reads token {token}, but the tokens are 0 … {length - 1}'
        if token in step_of:
            return f'step {step} reads token {token}, which step {step_of[token]} has read'
        step_of[token] = step
    return f'step {len(entries)} reads nothing, but there are {length} steps'


def fixed_orders(
    names: Sequence[str], height: int, width: int, device: torch.device, cls_slots: Sequence[int] = ()
) -> Tensor:
    """As :func:`make_orders`, on a device and kept there: for orders that a model asks for at each call.

    The last 64 are kept; a captured CUDA graph needs its own to be among them.

    Raises:
        ValueError: If one of the orders is random, unknown, or no permutation.
    """
    random = [name for name in names if get_order(name).random]
    if random:
        raise ValueError(f'scan order {random[0]!r} is random, and fixed_orders keeps what it makes')
    return kept_orders(names, height, width, device, cls_slots)[0]


def kept_orders(
    names: Sequence[str],
    height: int,
    width: int,
    device: torch.device,
    cls_slots: Sequence[int] = (),
    num_blocks: int = 1,
    seed: int = 0,
) -> Tensor:
    """Orders of a model's blocks, ``(num_blocks, K, L)`` int64, on a device and kept there.

    Random ones are drawn from the seed for each block. The last 64 results are kept.

    Raises:
        ValueError: If one of the orders is unknown or no permutation.
    """
    if torch.compiler.is_dynamo_compiling():
        # a compiled graph looks them up when it runs, and so holds for other grids as well
        like = torch.empty(0, device=device)
        return torch.ops.rsmamba_mm.kept_orders(
            like, '\n'.join(names), height, width, list(cls_slots), num_blocks, seed
        )
    return _kept_orders(tuple(names), height, width, device, tuple(cls_slots), num_blocks, seed)


@kept
def _kept_orders(names, height, width, device, cls_slots, num_blocks, seed) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    orders = [make_orders(names, height, width, cls_slots, generator) for _ in range(num_blocks)]
    return torch.stack(orders).to(device)


@torch.library.custom_op('rsmamba_mm::kept_orders', mutates_args=())
def _looked_up(
    like: Tensor, names: str, height: int, width: int, cls_slots: Sequence[int], num_blocks: int, seed: int
) -> Tensor:
    # a copy: compiled code may use the memory of a result again
    return _kept_orders(
        tuple(names.split('\n')), height, width, like.device, tuple(cls_slots), num_blocks, seed
    ).clone()


@_looked_up.register_fake
def _(like, names, height, width, cls_slots, num_blocks, seed):
    length = height * width + len(cls_slots)
    return like.new_empty(num_blocks, names.count('\n') + 1, length, dtype=torch.long)


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


@register_order('cluster', grid=True)
def cluster_order(height: int, width: int, side: int = 4) -> Tensor:
    """Clusters of ``side`` x ``side`` tokens row by row, and so the tokens in each (RoMA, arXiv:2503.10392,
    Sec. 3.2); at the end of a grid that they do not divide they are smaller."""
    token = _forward(height, width)
    row, column = token // width, token % width
    cluster = row // side * -(-width // side) + column // side
    return cluster.argsort(stable=True)
