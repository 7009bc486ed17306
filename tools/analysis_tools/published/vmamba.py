"""VMamba as it is published, on the weights of a model of this package.

Each block copies its map in four directions, scans the copies with the reference scan, a step of the
sequence at a time, turns the results back and adds them. So computes the code of its authors without its
kernels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def published_vmamba(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """From images ``(B, 3, H, W)`` to logits ``(B, classes)``.

    For a classifier with the backbone ``VMamba`` as published: rows, columns and both backwards. The
    weights are the model's, so that gradients reach them.
    """
    backbone = model.backbone

    def logits(images: Tensor) -> Tensor:
        x = backbone.patch_embed(images)
        for stage in backbone.layers:
            for block in stage.blocks:
                x = x + block.drop_path(ss2d(block.op, block.norm(x)))
                if block.has_mlp:
                    x = x + block.drop_path(block.mlp(block.norm2(x)))
            if stage.downsample is not None:
                x = stage.downsample(x)
        return model.head.fc(backbone.norm3(x).mean((1, 2)))

    return logits


def ss2d(op: nn.Module, x: Tensor) -> Tensor:
    """``(B, H, W, C)`` along four directions."""
    height, width = x.shape[1:3]
    u, *z = op.in_proj(x).chunk(1 + op.gated, -1)
    u = F.silu(op.conv2d(u.permute(0, 3, 1, 2)))
    y = unread(scanned(op, read(u)), height, width)
    y = op.out_norm(y.mT.unflatten(1, (height, width)))
    return op.out_proj(y * F.silu(*z) if op.gated else y)


def read(u: Tensor) -> Tensor:
    """A map ``(B, E, H, W)`` in four copies: rows, columns, both backwards, ``(B, 4, E, L)``."""
    two = torch.stack([u.flatten(2), u.mT.flatten(2)], 1)
    return torch.cat([two, two.flip(-1)], 1)


def unread(y: Tensor, height: int, width: int) -> Tensor:
    """The sum of what was scanned in four directions, ``(B, E, L)`` by rows."""
    rows, columns = (y[:, :2] + y[:, 2:].flip(-1)).unbind(1)
    return rows + columns.unflatten(2, (width, height)).mT.flatten(2)


def scanned(op: nn.Module, u: Tensor) -> Tensor:
    """The reference scan of four sequences with weights of each, ``(B, 4, E, L)``."""
    parts = [op.dt_rank, op.d_state, op.d_state]
    step, B, C = torch.einsum('bkel,kxe->bkxl', u, op.x_proj_weight).split(parts, 2)
    step = torch.einsum('bkrl,ker->bkel', step, op.dt_projs_weight) + op.dt_projs_bias[..., None]
    step = F.softplus(step)
    A = -op.A_logs.exp().unflatten(0, op.dt_projs_bias.shape)
    decay = torch.exp(torch.einsum('bkel,ken->bkeln', step, A))
    entering = torch.einsum('bkel,bknl,bkel->bkeln', step, B, u)
    state, outs = torch.zeros_like(decay[..., 0, :]), []
    for t in range(u.shape[-1]):
        state = decay[..., t, :] * state + entering[..., t, :]
        outs.append(torch.einsum('bken,bkn->bke', state, C[..., t]))
    return torch.stack(outs, -1) + op.Ds.view(4, -1, 1) * u
