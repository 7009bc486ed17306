"""A gated MLP."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .options import check_sizes


class SwiGLU(nn.Module):
    """``w3(SiLU(w1 x) * w2 x)`` of each token (GLU variants, arXiv:2002.05202, Eq. 6).

    Args:
        dim (int): Channels C.
        hidden (int, optional): Channels between. Defaults to None, ``8 * dim // 3``, by which it has as
            many weights as an MLP with ``4 * dim``.

    Raises:
        ValueError: If a size is no positive integer.
    """

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = 8 * dim // 3 if hidden is None else hidden
        check_sizes('SwiGLU', dim=dim, hidden=hidden)
        self.w1, self.w2, self.w3 = nn.Linear(dim, hidden), nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, C)`` to ``(…, C)``."""
        return self.w3(F.silu(self.w1(x)) * self.w2(x))
