"""AdamW with Lookahead."""

from __future__ import annotations

import torch
from mmengine.registry import OPTIMIZERS
from torch.optim import AdamW


@OPTIMIZERS.register_module()
class LookaheadAdamW(AdamW):
    """AdamW inside Lookahead (arXiv:1907.08610, Alg. 1), as UNetMamba is trained.

    Every k steps the slow weights go a share of the way to the fast ones, which start again from there. The
    slow weights are part of the optimiser's state, so a resumed run goes on as it would have; between two
    syncs the model, and so a checkpoint, has the fast weights.

    Args:
        params: Parameters, or groups of them.
        k (int): Steps between two syncs. Defaults to 5.
        alpha (float): Share of the way. Defaults to 0.5.
        **kwargs: Arguments of ``torch.optim.AdamW``.

    Raises:
        ValueError: If ``k`` is not positive, or ``alpha`` is not in (0, 1].
    """

    def __init__(self, params, k: int = 5, alpha: float = 0.5, **kwargs) -> None:
        if not isinstance(k, int) or k < 1 or not 0 < alpha <= 1:
            raise ValueError(
                f'LookaheadAdamW: k is a positive integer and alpha in (0, 1], got k={k}, alpha={alpha}'
            )
        super().__init__(params, **kwargs)
        self.k, self.alpha = k, alpha
        for group in self.param_groups:
            group.setdefault('steps_since_sync', 0)

    @torch.no_grad()
    def step(self, closure=None):
        """One step of AdamW, and a sync every k."""
        first = {
            p: p.detach().clone()
            for group in self.param_groups
            for p in group['params']
            if p.grad is not None and p not in self.state
        }
        loss = super().step(closure)
        for p, slow in first.items():
            self.state[p]['slow'] = slow
        for group in self.param_groups:
            group['steps_since_sync'] += 1
            if group['steps_since_sync'] == self.k:
                group['steps_since_sync'] = 0
                fast = [p for p in group['params'] if 'slow' in self.state.get(p, {})]
                slow = [self.state[p]['slow'] for p in fast]
                if fast:
                    torch._foreach_lerp_(slow, fast, self.alpha)
                    torch._foreach_copy_(fast, slow)
        return loss
