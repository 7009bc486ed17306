"""Muon, and AdamW for what is no matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import Tensor
from torch.optim import AdamW

from .learning_rate import SegmentorOptimWrapperConstructor

# of the quintic that brings singular values near to one (Jordan et al. 2024): steep at zero, so that a few
# steps suffice; it does not converge
QUINTIC = 3.4445, -4.7750, 2.0315


@OPTIMIZERS.register_module()
class MuonAdamW(AdamW):
    """Muon for the weights that are matrices inside a network, AdamW for all others.

    A matrix goes along its Nesterov momentum with all singular values brought to about one (K. Jordan et
    al. 2024, kellerjordan.github.io/posts/muon), times ``0.2·sqrt(max(rows, columns))``, which makes the
    step as large as AdamW's (arXiv:2502.16982, Eq. 4): both take one learning rate. The kernel of a
    convolution is a matrix of outputs by all that one of them reads.

    Which weights are matrices is said by ``muon`` of a group of parameters, see
    :class:`MuonOptimWrapperConstructor`; where it is not, by :func:`is_matrix`.

    Args:
        params: Parameters, or groups of them.
        momentum (float): Of the matrices. Defaults to 0.95.
        matrix_lr_mult (float): Factor of the learning rate for the matrices. Defaults to 1.
        **kwargs: Arguments of ``torch.optim.AdamW``; its rate and weight decay hold for the matrices too.

    Raises:
        ValueError: If ``momentum`` is not in [0, 1), or ``matrix_lr_mult`` is not positive.
    """

    def __init__(self, params, momentum: float = 0.95, matrix_lr_mult: float = 1.0, **kwargs) -> None:
        if not 0 <= momentum < 1 or not matrix_lr_mult > 0:
            raise ValueError(
                'MuonAdamW: momentum is in [0, 1) and matrix_lr_mult positive, got '
                f'momentum={momentum}, matrix_lr_mult={matrix_lr_mult}'
            )
        super().__init__(params, **kwargs)
        self.momentum, self.matrix_lr_mult = momentum, matrix_lr_mult

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        held = []
        for group in self.param_groups:
            for p in group['params']:
                if p.grad is not None and group.get('muon', is_matrix(p)):
                    self._step_matrix(p, group['lr'] * self.matrix_lr_mult, group['weight_decay'])
                    held.append((p, p.grad))
                    p.grad = None  # AdamW passes over it
        super().step()
        for p, grad in held:
            p.grad = grad
        return loss

    def _step_matrix(self, p: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[p]
        if 'momentum' not in state:
            state['step'] = torch.zeros(())  # AdamW asks for it as it resumes
            state['momentum'] = torch.zeros_like(p)
        state['step'] += 1
        momentum = state['momentum'].mul_(self.momentum).add_(p.grad)
        direction = orthogonalized(p.grad.add(momentum, alpha=self.momentum).flatten(1))
        p.mul_(1 - lr * weight_decay)
        p.add_(direction.view_as(p), alpha=-0.2 * lr * max(direction.shape) ** 0.5)


def is_matrix(p: Tensor) -> bool:
    """Whether a parameter is a matrix, or the kernel of a 2-D convolution over several channels."""
    return p.ndim in (2, 4) and min(p.shape[:2]) > 1


def orthogonalized(matrix: Tensor, steps: int = 5) -> Tensor:
    """A matrix with its singular values brought to between about 0.7 and 1.2, by matrix products alone.

    Args:
        matrix (Tensor): ``(m, n)``; computed in float32.
        steps (int): Of the iteration of Newton and Schulz. Defaults to 5.

    Returns:
        Tensor: ``(m, n)``, of the matrix's type; zeros of a matrix of zeros.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.mT).float()
    x = x / (x.norm() + 1e-7)
    a, b, c = QUINTIC
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.mT).to(matrix)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MuonOptimWrapperConstructor(SegmentorOptimWrapperConstructor):
    """Tells :class:`MuonAdamW` which weights are matrices inside the network.

    These are the weights of linear layers and convolutions, but not biases, depthwise ones, the layers that
    give the classes, embeddings, and the A of scans, whose elements are decay rates each for itself.

    Args:
        optim_wrapper_cfg (dict): As MMEngine's.
        paramwise_cfg (dict, optional): As :class:`SegmentorOptimWrapperConstructor`'s, and ``adamw_keys``
            (sequence of str): parts of names of further weights that AdamW takes.
    """

    # parts of names
    ADAMW = 'bias', 'A_log', 'conv_seg', 'conv_out', 'head.fc', 'cls_token', 'pos_embed'

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # MMEngine looks at single parameters where there is something to look for
        super().__init__(optim_wrapper_cfg, dict(adamw_keys=()) | (paramwise_cfg or {}))

    def adjust(self, group: dict, name: str, factor: float) -> None:
        """Apply the rules to the group of one parameter, and say whether it is such a matrix."""
        super().adjust(group, name, factor)
        keys = (*self.ADAMW, *self.paramwise_cfg['adamw_keys'])
        group['muon'] = is_matrix(group['params'][0]) and not any(key in name for key in keys)
