"""The global-local transformer block of UNetFormer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..errors import OptionError
from .options import check_sizes
from .padding import pad_end, pad_to_multiple

BN = dict(type='BN')  # never written to


class GlobalLocalAttention(nn.Module):
    """Attention within windows, carried across them by means of columns and rows, beside two convolutions
    (GLTB's attention; UNetFormer, Wang et al., ISPRS 2022, arXiv:2109.08937).

    The windows are not shifted. Maps whose sides they do not divide are continued below and to the right,
    by reflection, or where the map is too small for that by repeating its edge, and are cut again after
    the attention.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads, which divide the channels. Defaults to 8.
        window_size (int): Side of the windows, even. Defaults to 8.
        local_dim (int, optional): Channels of the map that the convolutions read. Defaults to None: C.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.

    Raises:
        OptionError: If the heads do not divide the channels, or the window's side is odd.
        ValueError: If a size is no positive integer.
    """

    relative_position_index: Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        window_size: int = 8,
        local_dim: int | None = None,
        norm_cfg: dict = BN,
    ) -> None:
        super().__init__()
        local_dim = dim if local_dim is None else local_dim
        sizes = dict(dim=dim, num_heads=num_heads, window_size=window_size, local_dim=local_dim)
        check_sizes('GlobalLocalAttention', **sizes)
        if dim % num_heads:
            raise OptionError(
                f'GlobalLocalAttention: num_heads must divide the {dim} channels, got {num_heads}'
            )
        if window_size % 2:
            raise OptionError(f'GlobalLocalAttention: window_size must be even, got {window_size}')
        self.num_heads, self.window_size = num_heads, window_size
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.local1 = ConvModule(local_dim, dim, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        self.local2 = ConvModule(local_dim, dim, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.proj = nn.Sequential(
            nn.Conv2d(dim, dim, window_size, padding=window_size // 2 - 1, groups=dim, bias=False),
            build_norm_layer(norm_cfg, dim)[1],
            nn.Conv2d(dim, dim, 1, bias=False),
        )
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window_size - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer('relative_position_index', _relative_positions(window_size))

    def forward(self, x: Tensor, local: Tensor) -> Tensor:
        """Mix.

        Args:
            x (Tensor): Map that asks and answers, ``(B, C, H, W)``.
            local (Tensor): Map of the convolutions, ``(B, local_dim, H, W)``; the same, or another.

        Returns:
            Tensor: ``(B, C, H, W)``.
        """
        x = self._across_windows(self._within_windows(x)) + self.local1(local) + self.local2(local)
        return self.proj(pad_end(x, 1, 1))  # a kernel of even sides asks for one pixel more at the end

    def _within_windows(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        side, heads = self.window_size, self.num_heads
        qkv = self.qkv(pad_to_multiple(x, side))
        rows, columns = (length // side for length in qkv.shape[2:])
        pattern = 'b (qkv n d) (r i) (c j) -> qkv (b r c) n (i j) d'
        q, k, v = rearrange(qkv, pattern, qkv=3, n=heads, i=side, j=side)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        pattern = '(b r c) n (i j) d -> b (n d) (r i) (c j)'
        x = rearrange(x, pattern, r=rows, c=columns, i=side, j=side)
        return x[..., :height, :width]

    def _across_windows(self, x: Tensor) -> Tensor:
        """Means of as many pixels as a window has, down the columns and along the rows, added."""
        side, before = self.window_size, self.window_size // 2 - 1
        down = F.avg_pool2d(pad_end(x, 1, 0), (side, 1), stride=1, padding=(before, 0))
        along = F.avg_pool2d(pad_end(x, 0, 1), (1, side), stride=1, padding=(0, before))
        return down + along


class GlobalLocalBlock(BaseModule):
    """``x + A(BN(x))``, then ``x + MLP(BN(x))``, with :class:`GlobalLocalAttention` as A (GLTB; UNetFormer,
    arXiv:2109.08937).

    Two maps are fused where the convolutions of A read another one than its attention, as RS3Mamba
    (arXiv:2404.02457) does: ``x + A(BN(x), BN(y))``.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads, which divide the channels. Defaults to 8.
        window_size (int): Side of the windows, even. Defaults to 8.
        mlp_ratio (float): Hidden channels of the MLP over C. Defaults to 4.
        local_dim (int, optional): Channels of the other map. Defaults to None: there is none.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        OptionError: If the heads do not divide the channels, or the window's side is odd.
        ValueError: If a size is no positive integer.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        window_size: int = 8,
        mlp_ratio: float = 4.0,
        local_dim: int | None = None,
        norm_cfg: dict = BN,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.norm1, self.norm2 = (build_norm_layer(norm_cfg, dim)[1] for _ in range(2))
        self.norm_local = None if local_dim is None else build_norm_layer(norm_cfg, local_dim)[1]
        self.attn = GlobalLocalAttention(dim, num_heads, window_size, local_dim, norm_cfg)
        hidden = int(mlp_ratio * dim)
        self.mlp = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.ReLU6(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor, local: Tensor | None = None) -> Tensor:
        """``(B, C, H, W)``, and ``(B, local_dim, H, W)`` of the other map if there is one, to
        ``(B, C, H, W)``."""
        y = self.norm1(x)
        x = x + self.attn(y, y if self.norm_local is None else self.norm_local(local))
        return x + self.mlp(self.norm2(x))


def _relative_positions(side: int) -> Tensor:
    """Row of the table for each query and key of a window, ``(side², side²)``."""
    axis = torch.arange(side)
    row, column = torch.cartesian_prod(axis, axis).T
    apart = [place[:, None] - place + side - 1 for place in (row, column)]
    return apart[0] * (2 * side - 1) + apart[1]
