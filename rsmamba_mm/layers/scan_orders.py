"""The scan orders of a model's blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops import fixed_orders, get_order, make_orders
from ..ops.orders import kept_orders


def known_orders(option: str, names: Sequence[str]) -> tuple[str, ...]:
    """A model's option that lists scan orders, checked.

    Args:
        option (str): What the messages call it, such as ``'SS2D: orders'``.
        names (Sequence[str]): The names given, at least one.

    Returns:
        tuple[str, ...]: The names.

    Raises:
        ValueError: If it is no list of registered orders.
    """
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ValueError(f'{option} needs a list of scan orders, got {names!r}')
    try:
        return tuple(get_order(name).name for name in names)
    except ValueError as error:
        raise ValueError(f'{option}: {error}') from None


def any_random(names: Sequence[str]) -> bool:
    """Whether one of the orders is drawn anew at each call."""
    return any(get_order(name).random for name in names)


def block_orders(
    names: Sequence[str],
    grid: tuple[int, int],
    device: torch.device,
    training: bool,
    num_blocks: int = 1,
    seed: int = 0,
    cls_slots: Sequence[int] = (),
) -> Tensor:
    """The scan orders of each block of a model.

    Random orders are drawn for each block, in block order: in training anew from torch's global CPU
    generator, in evaluation from one of its own, the same on every device, rank and call.

    Args:
        names (Sequence[str]): Names of the K orders.
        grid (tuple[int, int]): Height and width of the token grid.
        device (torch.device): Where the orders are wanted.
        training (bool): Whether the model trains.
        num_blocks (int): Blocks of the model. Defaults to 1.
        seed (int): Of the random orders in evaluation. Defaults to 0.
        cls_slots (Sequence[int]): Where class tokens stand in the sequence. Defaults to none.

    Returns:
        Tensor: ``(num_blocks, K, L)`` int64, with ``L = height * width + len(cls_slots)``. Where it is
        not drawn anew it is kept for the next call: not to be written to.
    """
    names, slots = tuple(names), tuple(cls_slots)
    if not any_random(names):
        return fixed_orders(names, *grid, device, slots).expand(num_blocks, -1, -1)
    if training:
        return _sent(torch.stack([make_orders(names, *grid, slots) for _ in range(num_blocks)]), device)
    return kept_orders(names, *grid, device, slots, num_blocks, seed)


def _sent(orders: Tensor, device: torch.device) -> Tensor:
    """Orders on a device. A GPU copies them when it comes to it; from unpinned memory each forward would
    wait until all work before it is done."""
    if device.type != 'cuda' or torch.compiler.is_compiling():
        return orders.to(device)
    return orders.pin_memory().to(device, non_blocking=True)
