"""AFM-Net's Mamba block, whose paths each turn the tokens anew."""

from __future__ import annotations

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from .mamba import MultiPathMamba
from .rope import rotate


class RotaryMambaBlock(BaseModule):
    """Residual Mamba block along K paths with shared weights, after a rotary embedding (AFM-Net).

    Path k puts the tokens into its order, turns them by a rotary embedding and gives ``x + Mixer(RMS(x))``
    in the first order again; the outputs are summed with weights
    ``softmax(W_g · concat_k(mean_L(o_k)))``. As released, the residual stream itself is turned, by each
    token's place in the path, and the first place of each path is spared.

    Args:
        channels (int): Channels C.
        num_paths (int): Paths K.
        drop_path_rate (float): Stochastic depth. Defaults to 0.
        eps (float): Of the norm. Defaults to 1e-5.
        **mixer: Options of :class:`MultiPathMamba`.
    """

    def __init__(
        self, channels: int, num_paths: int, drop_path_rate: float = 0.0, eps: float = 1e-5, **mixer
    ) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(channels, eps=eps)
        self.mixer = MultiPathMamba(channels, **mixer)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()
        self.gate = nn.Linear(num_paths * channels, num_paths, bias=False) if num_paths > 1 else None

    def forward(self, x: Tensor, orders: Tensor, angles: Tensor | None) -> Tensor:
        """Mix tokens.

        Args:
            x (Tensor): ``(B, L, C)``.
            orders (Tensor): ``(K, L)`` int64: which token stands at each place of a path.
            angles (Tensor, optional): ``(L, C / 2)`` by place in the path; None leaves out the embedding.

        Returns:
            Tensor: ``(B, L, C)``.
        """
        paths = x[:, orders]  # (B, K, L, C)
        if angles is not None:
            paths = rotate(paths, angles)
        # the paths differ before in_proj: they are so many sequences of a batch, in the order they have
        batch, length = len(x), x.shape[1]
        forward = torch.arange(length, device=x.device)[None]
        sequences = paths.flatten(0, 1)
        y = sequences + self.drop_path(self.mixer(self.norm(sequences), forward))
        y = y.unflatten(0, (batch, -1))
        index = orders.argsort(-1)[None, :, :, None].expand_as(y)
        y = y.gather(2, index)
        if self.gate is None:
            return y[:, 0]
        weights = self.gate(y.mean(2).flatten(1)).softmax(-1)
        return torch.einsum('bklc,bk->blc', y, weights.to(y.dtype))
