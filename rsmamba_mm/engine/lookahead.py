"""AdamW with Lookahead."""

from __future__ import annotations

import torch
from mmengine.registry import OPTIMIZERS
from torch.optim import AdamW


@OPTIMIZERS.register_module()
class LookaheadAdamW(AdamW):
    """AdamW inside Lookahead (arXiv:1907.08610), as UNetMamba is trained.

    The slow weights are those after the first step; after every k further ones, that is after steps
    1 + k, 1 + 2 k, …, they go a share of the way to the fast ones, which start again from there. In Alg. 1
    of the paper the slow weights are the initial ones, and the syncs follow steps k, 2 k, …

    A parameter without a gradient in the first step keeps its initial value as the slow one. The slow
    weights and the number of steps are part of the optimiser's state, so a resumed run goes on as it would
    have; between two syncs the model, and so a checkpoint, has the fast weights.

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

    @torch.no_grad()
    def step(self, closure=None):
        """One step of AdamW, and a sync every k, from the first step on."""
        before = {
            p: p.detach().clone()
            for group in self.param_groups
            if group.get('steps', 0)
            for p in group['params']
            if p not in self.state and (p.grad is not None or closure is not None)
        }
        loss = super().step(closure)
        for group in self.param_groups:
            group['steps'] = group.get('steps', 0) + 1
            fast = [p for p in group['params'] if p in self.state]
            for p in fast:
                if 'slow' not in self.state[p]:
                    self.state[p]['slow'] = before[p] if p in before else p.detach().clone()
            if group['steps'] > 1 and (group['steps'] - 1) % self.k == 0 and fast:
                slow = [self.state[p]['slow'] for p in fast]
                torch._foreach_lerp_(slow, fast, self.alpha)
                torch._foreach_copy_(fast, slow)
        return loss
