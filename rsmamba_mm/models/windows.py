"""Where sliding windows lie, and how they fade into one another."""

from __future__ import annotations

import torch
from torch import Tensor


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side of ``length`` pixels; the last one ends at the edge."""
    return [min(start, length - window) for start in range(0, length - window + stride, stride)]


def fade(length: int) -> Tensor:
    """A Hann window over pixel centres, above 0 everywhere: float64, ``(length,)``."""
    centres = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    return torch.sin(torch.pi * centres).square()
