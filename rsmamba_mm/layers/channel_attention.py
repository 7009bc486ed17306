"""Attention of every channel to every other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.numerics import compute_dtype, without_autocast

EPS = 1e-6  # of the published formula


class ChannelSelfAttention(nn.Module):
    """Attention between channels (CAM; Fu et al., arXiv:1809.02983) as MANet (arXiv:2009.02130) has it.

    ``x + γ·softmax(max(E) - E)·X`` with ``E = X·Xᵀ`` of the map as a matrix X of channels and pixels, and
    the maximum of each row. γ starts at 0 and is the one parameter. Products are of float32, also in half
    precision, which E would leave.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same."""
        return x + self._scaled(x.flatten(2)).view_as(x).to(x.dtype)

    @without_autocast
    def _scaled(self, x: Tensor) -> Tensor:
        return self.gamma * self.attention(x.to(compute_dtype(x)))

    @staticmethod
    def attention(x: Tensor) -> Tensor:
        """``(B, C, n)`` of n pixels to the same."""
        energy = x @ x.mT
        return (energy.amax(-1, keepdim=True) - energy).softmax(-1) @ x


class SharedChannelAttention(ChannelSelfAttention):
    """Linear attention between channels (SCA) of DC-Swin (Wang et al., arXiv:2104.12137).

    ``x + γ·out`` with the map X as values and, of unit length at each pixel, as queries and keys Q:
    ``out_ci = (Σ_c' X_c'i + (X·Qᵀ·Q)_ci) / (n + Σ_j Q_cj·(Σ_c' Q_c'j + 1e-6))``. That the number n of
    pixels stands in the denominator, where the sum is over channels, is the published network's.
    """

    @staticmethod
    def attention(x: Tensor) -> Tensor:
        """``(B, C, n)`` of n pixels to the same."""
        q = F.normalize(x, dim=1)
        normaliser = x.shape[-1] + q @ (q.sum(1, keepdim=True) + EPS).mT
        return (x.sum(1, keepdim=True) + x @ q.mT @ q) / normaliser
