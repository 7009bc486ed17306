"""Maps brought to sizes that windows and patches divide."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pad_end(x: Tensor, rows: int, columns: int) -> Tensor:
    """Continue a map below its lower and beyond its right edge, each side by what it lacks.

    By reflection at the edge; along a side that is not longer than its padding, where there is nothing to
    reflect, by repeating the edge.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        rows (int): Rows to add at the bottom.
        columns (int): Columns to add at the right.

    Returns:
        Tensor: ``(B, C, H + rows, W + columns)``.
    """
    for missing, side, place in (
        (rows, x.shape[2], (0, 0, 0, rows)),
        (columns, x.shape[3], (0, columns, 0, 0)),
    ):
        if missing:
            x = F.pad(x, place, mode='reflect' if missing < side else 'replicate')
    return x


def pad_to_multiple(x: Tensor, divisor: int) -> Tensor:
    """The map ``(B, C, H, W)``, with sides that the divisor divides; as :func:`pad_end`."""
    return pad_end(x, -x.shape[2] % divisor, -x.shape[3] % divisor)
