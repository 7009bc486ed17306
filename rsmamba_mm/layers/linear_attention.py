"""Attention of every pixel to every other at a cost that is linear in their number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.numerics import compute_dtype, without_autocast

EPS = 1e-6  # of the published formulas


class LinearAttention(nn.Module):
    """Linear attention (LA; Li et al., arXiv:2007.14902) of BANet and DC-Swin.

    ``x + γ·out`` with ``exp(qᵀk) ≈ 1 + qᵀk`` for queries and keys of unit length:
    ``out_i = (Σ_j v_j + Σ_j (q_iᵀk_j) v_j) / (n + q_iᵀ(Σ_j k_j + 1e-6))`` over n pixels. γ starts at 0.
    Sums are of float32, also in half precision; a query or key of zeros stays zero.

    Args:
        channels (int): Channels C of the map.
        reduction (int): Channels of queries and keys are ``C / reduction``, at least 1. Defaults to 8.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.query_conv, self.key_conv = (
            nn.Conv2d(channels, max(1, channels // reduction), 1) for _ in 'qk'
        )
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same."""
        q, k, v = (conv(x).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        return x + _attend(self.attention, self.gamma, q, k, v).view_as(x).to(x.dtype)

    @staticmethod
    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries and keys ``(B, d, n)`` and values ``(B, C, n)`` to ``(B, C, n)``."""
        q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
        normaliser = q.shape[-1] + (k.sum(-1, keepdim=True) + EPS).mT @ q
        return (v.sum(-1, keepdim=True) + v @ k.mT @ q) / normaliser


class PositionAttention(LinearAttention):
    """Kernel attention of MANet (PAM; Li et al., arXiv:2009.02130), in place of the quadratic one.

    As :class:`LinearAttention`, but with softplus as the kernel:
    ``out_i = Σ_j (φ(q_i)ᵀφ(k_j)) v_j / φ(q_i)ᵀ(Σ_j φ(k_j) + 1e-6)``.
    """

    @staticmethod
    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries and keys ``(B, d, n)`` and values ``(B, C, n)`` to ``(B, C, n)``."""
        q, k = F.softplus(q), F.softplus(k)
        normaliser = (k.sum(-1, keepdim=True) + EPS).mT @ q
        return v @ k.mT @ q / normaliser.clamp_min(torch.finfo(q.dtype).tiny)


@without_autocast
def _attend(attention, gamma: Tensor, *maps: Tensor) -> Tensor:
    """``γ·attention``, in single precision at least."""
    return gamma * attention(*(x.to(compute_dtype(x)) for x in maps))
