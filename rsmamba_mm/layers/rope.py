"""Rotary position embedding of a token grid (RoFormer, arXiv:2104.09864, in two dimensions)."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_angles(
    height: int, width: int, channels: int, device: torch.device | None = None, base: float = 10000.0
) -> Tensor:
    """Angles by which pairs of neighbouring channels are turned: half by the row, half by the column.

    Args:
        height (int): Rows of the grid.
        width (int): Columns of the grid.
        channels (int): Channels C, a multiple of 4.
        device (torch.device, optional): Where they are wanted. Defaults to None, the CPU.
        base (float): Base of the wavelengths. Defaults to 10000.

    Returns:
        Tensor: ``(height * width, C / 2)`` float32, in radians.

    Raises:
        ValueError: If the channels are no multiple of 4.
    """
    if channels % 4:
        raise ValueError(f'rotary_angles: channels must be a multiple of 4, got {channels}')
    quarter = channels // 4
    frequencies = base ** -(torch.arange(quarter, dtype=torch.float32, device=device) / quarter)
    rows = torch.arange(height, dtype=torch.float32, device=device)[:, None] * frequencies
    columns = torch.arange(width, dtype=torch.float32, device=device)[:, None] * frequencies
    rows = rows[:, None].expand(-1, width, -1)
    columns = columns[None].expand(height, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn pairs of neighbouring channels.

    Args:
        x (Tensor): ``(…, L, C)``.
        angles (Tensor): ``(L, C / 2)``, in radians.

    Returns:
        Tensor: ``(…, L, C)`` in the same dtype.
    """
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], -1)
    return turned.flatten(-2)
