"""Vim as it is published, on the weights of a model of this package.

Each mixer is called twice, the second time on reversed tokens, and scans with the reference scan, a step of
the sequence at a time. So runs the code of its authors where their CUDA kernels are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# of a mixer's parameters those that each order has on its own
OWN = 'conv1d.weight', 'conv1d.bias', 'x_proj.weight', 'dt_proj.weight', 'dt_proj.bias', 'A_log', 'D'


def published_vim(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """From images ``(B, 3, H, W)``, of the size of the model's positions, to logits ``(B, classes)``.

    For a classifier with the backbone ``Vim`` as published: forward and reverse, class token in the middle.
    The weights are the model's, so that gradients reach them.
    """
    backbone = model.backbone

    def logits(images: Tensor) -> Tensor:
        tokens, _ = backbone.patch_embed(images)
        middle = tokens.shape[1] // 2
        token = backbone.cls_token.expand(len(tokens), -1, -1)
        hidden = torch.cat([tokens[:, :middle], token, tokens[:, middle:]], 1) + backbone.pos_embed
        residual = torch.zeros_like(hidden)
        for layer, norm, drop_path in zip(
            backbone.layers, backbone.pre_norm, backbone.drop_paths, strict=True
        ):
            residual = residual + hidden
            hidden = drop_path(mixer(layer, norm(residual)))
        return model.head.fc(backbone.ln1(residual + hidden)[:, middle])

    return logits


def mixer(layer: nn.Module, tokens: Tensor) -> Tensor:
    """``(B, L, C)`` along both orders."""
    x, z = layer.in_proj(tokens).mT.chunk(2, 1)
    orders = zip(*(layer.get_parameter(name).chunk(2) for name in OWN), strict=True)
    forward, reverse = (dict(zip(OWN, weights, strict=True)) for weights in orders)
    y = inner(x, z, forward) + inner(x.flip(-1), z.flip(-1), reverse).flip(-1)
    return layer.out_proj(y.mT / 2)


def inner(x: Tensor, z: Tensor, weights: Mapping) -> Tensor:
    """One order between the projections: ``(B, E, L)``, and the gate's."""
    E, _, taps = weights['conv1d.weight'].shape
    padded = F.conv1d(x, weights['conv1d.weight'], weights['conv1d.bias'], padding=taps - 1, groups=E)
    u = F.silu(padded[..., : x.shape[-1]])
    rank, states = weights['dt_proj.weight'].shape[1], weights['A_log'].shape[1]
    step, B, C = F.linear(u.mT, weights['x_proj.weight']).mT.split([rank, states, states], 1)
    step = F.softplus(weights['dt_proj.weight'] @ step + weights['dt_proj.bias'][:, None])
    y = scan(u, step, -weights['A_log'].exp(), B, C) + weights['D'][:, None] * u
    return y * F.silu(z)


def scan(u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The reference scan, channels before time as there: u and step ``(B, E, L)``, A ``(E, N)``, B and C
    ``(B, N, L)``."""
    decay = torch.exp(torch.einsum('bel,en->beln', step, A))
    entering = torch.einsum('bel,bnl,bel->beln', step, B, u)
    state, outs = torch.zeros_like(decay[:, :, 0]), []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + entering[:, :, t]
        outs.append(torch.einsum('ben,bn->be', state, C[:, :, t]))
    return torch.stack(outs, 2)
