"""A mixture of experts (Shazeer et al., arXiv:1701.06538) of gated linear units (arXiv:2002.05202)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from .options import check_sizes


class Experts(BaseModule):
    """Each sample goes to few of many experts, and to one that all share.

    An expert is ``W2 (SiLU(W1 x) * W3 x)``. The gate's softmax is over all experts; the weights of the
    chosen ones are not brought to a sum of one (as AFM-Net has it). In training all experts are computed
    and those not chosen enter with weight 0, so that each parameter has a gradient on every rank.

    Args:
        channels (int): Channels C of a sample.
        num_experts (int): Number E of experts. Defaults to 8.
        inner (int): Inner channels of an expert. Defaults to 768.
        shared (int): Inner channels of the shared expert, in multiples of ``inner``; 0 for none.
            Defaults to 1.
        topk (int): Experts that a sample goes to. Defaults to 2.

    Raises:
        ValueError: If a size is not positive, ``shared`` is negative or ``topk`` exceeds the experts.
    """

    def __init__(
        self, channels: int, num_experts: int = 8, inner: int = 768, shared: int = 1, topk: int = 2
    ) -> None:
        super().__init__()
        check_sizes('Experts', channels=channels, num_experts=num_experts, inner=inner, topk=topk)
        if topk > num_experts:
            raise ValueError(f'Experts: topk must be at most num_experts = {num_experts}, got {topk}')
        if not isinstance(shared, int) or shared < 0:
            raise ValueError(f'Experts: shared must be an integer of at least 0, got {shared!r}')
        self.num_experts, self.topk = num_experts, topk
        self.gate = nn.Linear(channels, num_experts, bias=False)
        self.w1 = nn.Parameter(torch.empty(num_experts, inner, channels))
        self.w2 = nn.Parameter(torch.empty(num_experts, channels, inner))
        self.w3 = nn.Parameter(torch.empty(num_experts, inner, channels))
        if shared:
            self.shared_w1 = nn.Parameter(torch.empty(shared * inner, channels))
            self.shared_w2 = nn.Parameter(torch.empty(channels, shared * inner))
            self.shared_w3 = nn.Parameter(torch.empty(shared * inner, channels))
        self.has_shared = shared > 0
        self._init()

    def init_weights(self) -> None:
        """Initialise as linear layers are: uniform within the root of the inputs' inverse number."""
        super().init_weights()
        self._init()

    def _init(self) -> None:
        for parameter in self.parameters():
            bound = 1 / math.sqrt(parameter.shape[-1])
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the experts.

        Args:
            x (Tensor): Samples ``(B, C)``.

        Returns:
            tuple[Tensor, Tensor]: ``(B, C)``, and a scalar, the balance ``E Σ_e f_e p_e`` of the share
            f_e of samples that go to expert e and its mean weight p_e, which is least when all are alike.
        """
        scores = self.gate(x).float().softmax(-1)
        kept, chosen = scores.topk(self.topk, dim=-1)
        weights = torch.zeros_like(scores).scatter(1, chosen, kept)
        routed = torch.zeros_like(scores).scatter(1, chosen, 1.0).mean(0)
        balance = self.num_experts * (routed * scores.mean(0)).sum()
        if self.training or torch.compiler.is_compiling() or torch.jit.is_tracing():
            hidden = F.silu(torch.einsum('bc,eic->ebi', x, self.w1))
            hidden = hidden * torch.einsum('bc,eic->ebi', x, self.w3)
            y = torch.einsum('ebi,eci,be->bc', hidden, self.w2, weights.to(hidden.dtype))
        else:
            y = self._routed_only(x, weights, chosen)
        if self.has_shared:
            y = y + _gated(x, self.shared_w1, self.shared_w2, self.shared_w3)
        return y, balance

    def _routed_only(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """The same, of the experts that some sample goes to."""
        # without values, where operations are counted, any will do: exact for one sample
        experts = range(self.topk) if x.is_meta else chosen.unique().tolist()
        return sum(  # pyright: ignore[reportReturnType] - there is one at least
            weights[:, e, None].to(x.dtype) * _gated(x, self.w1[e], self.w2[e], self.w3[e]) for e in experts
        )


def _gated(x: Tensor, w1: Tensor, w2: Tensor, w3: Tensor) -> Tensor:
    return F.linear(F.silu(F.linear(x, w1)) * F.linear(x, w3), w2)
