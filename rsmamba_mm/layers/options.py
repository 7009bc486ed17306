"""Options of models, refused where they mean nothing: the message names the class and the option."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor


def is_integer(value: Any) -> bool:
    """Whether it counts something: True and False do not."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_sizes(owner: str, **sizes: int) -> None:
    """Refuse sizes that are no positive integers.

    Raises:
        ValueError: Naming the owner and the size.
    """
    for name, size in sizes.items():
        if not is_integer(size) or size < 1:
            raise ValueError(f'{owner}: {name} must be a positive integer, got {size!r}')


def check_sides(owner: str, **sides: int | tuple[int, int]) -> None:
    """Refuse what is neither one positive integer nor two, height and width.

    Raises:
        ValueError: Naming the owner and the option.
    """
    for name, side in sides.items():
        both = side if isinstance(side, tuple | list) and len(side) == 2 else (side,)
        if not all(is_integer(n) and n > 0 for n in both):
            raise ValueError(
                f'{owner}: {name} must be a positive integer, or two for height and width, got {side!r}'
            )


def check_numbers(owner: str, least: float = 0.0, below: float = float('inf'), **numbers: float) -> None:
    """Refuse what is no number from ``least`` to ``below``, the latter not included.

    Raises:
        ValueError: Naming the owner and the option.
    """
    for name, number in numbers.items():
        if (
            isinstance(number, bool | str)
            or not hasattr(number, '__float__')
            or not least <= number < below
        ):
            raise ValueError(f'{owner}: {name} must be a number in [{least:g}, {below:g}), got {number!r}')


def check_seed(owner: str, shuffle_seed: int) -> None:
    """Refuse what PyTorch's generators take for no seed.

    Raises:
        ValueError: Naming the owner and the option.
    """
    if not is_integer(shuffle_seed) or not abs(shuffle_seed) < 2**62:
        raise ValueError(f'{owner}: shuffle_seed must be an integer of 62 bits, got {shuffle_seed!r}')


def check_integers(owner: str, least: int = 1, length: int | None = None, **values: Sequence[int]) -> None:
    """Refuse what is no list of integers that are ``least`` or more; of any length but 0, or of one.

    Raises:
        ValueError: Naming the owner and the option.
    """
    for name, value in values.items():
        several = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
        if several and length in (None, len(value)) and all(is_integer(n) and n >= least for n in value):
            continue
        count = 'one or more' if length is None else length
        raise ValueError(f'{owner}: {name} lists {count} integers, each {least} or more, got {value!r}')


def check_images(owner: str, x: Tensor, channels: int) -> None:
    """Refuse what is no batch of images of so many bands, before a convolution does in its words.

    Raises:
        ValueError: Naming the owner and ``in_channels``.
    """
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f'{owner}: images (B, {channels}, H, W) are expected, as in_channels={channels} says, got '
            f'{tuple(x.shape)}'
        )


def check_several(owner: str, x: Tensor, training: bool) -> None:
    """Refuse a single pixel in training, which batch normalisation would turn into nothing.

    Raises:
        ValueError: Naming the owner and what to do.
    """
    if training and x.numel() == x.shape[1]:
        raise ValueError(
            f'{owner}: batch normalisation cannot train on a batch of one image whose map is a single '
            'pixel: take larger images or a larger batch'
        )


@contextmanager
def naming(option: str, value: Any) -> Iterator[None]:
    """Name the option, such as ``'RSMamba: norm_cfg'``, where a part of another library cannot be built.

    Raises:
        ValueError: Of whatever is raised inside.
    """
    try:
        yield
    except Exception as error:  # libraries refuse in any way
        raise ValueError(f'{option}={value!r} is refused ({type(error).__name__}: {error})') from error
