"""The Mamba segmentation decoder of UNetMamba, as a neck."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from einops import rearrange
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...layers import DIRECTIONS, VSSBlock
from ...layers.options import check_integers, check_numbers, check_seed, check_sizes
from ...ops.numerics import is_exporting
from .pyramid import build_pyramid, check_maps, fitted


@MODELS.register_module()
class MambaSegDecoder(BaseModule):
    """Mamba segmentation decoder (MSD; UNetMamba, arXiv:2408.11545, Sec. II-B) behind any backbone.

    From the deepest map up, for each of the others: double the size, join the other map, and mix by VSS
    blocks; the last map is brought to full resolution. Behind it mmseg's plain 1×1 head suffices, with
    ``in_index=3``.

    Args:
        in_channels (Sequence[int]): Channels of the backbone's maps, finest first, each half as large as
            the one before it (odd numbers rounded up or down). Defaults to ``(64, 128, 256, 512)``,
            ResT-Lite's.
        depths (Sequence[int]): VSS blocks of each stage, deepest first. Defaults to ``(2, 2, 2)``.
        drop_path_rate (float): Rate of stochastic depth of the first block, falling to 0 in the last.
            Defaults to 0.2.
        d_state (int): States per inner channel. Defaults to 16.
        ssm_ratio (float): Inner channels of SS2D over the width. Defaults to 2.
        mlp_ratio (float): Hidden channels of the MLPs over the width. Defaults to 4.
        final_scale (int): Stride of the finest map, by which it is enlarged at last. Defaults to 4.
        pyramid (Sequence[float], optional): For a backbone whose maps share one stride, such as RSMamba:
            the scales to bring them to first by mmseg's ``Feature2Pyramid``, ``(4, 2, 1, 0.5)`` at stride
            16, ``(2, 1, 0.5, 0.25)`` at stride 8. Defaults to None.
        orders (Sequence[str]): Scan orders of all blocks, such as ``['snake', 'snake_reverse']``. Random
            ones are drawn anew in training, and fixed in evaluation. Defaults to rows, columns and both
            backwards, the paper's.
        shuffle_seed (int): Seed of the first block's random orders in evaluation, 1 more for each block
            that follows. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None: truncated normal linear layers.

    Raises:
        ValueError: If the numbers of maps, depths and scales do not fit together, or an order is unknown;
            in a run, if a map has other channels or is not half as large as the one before it.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2),
        drop_path_rate: float = 0.2,
        d_state: int = 16,
        ssm_ratio: float = 2.0,
        mlp_ratio: float = 4.0,
        final_scale: int = 4,
        pyramid: Sequence[float] | None = None,
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0)
        super().__init__(init_cfg)
        check_integers('MambaSegDecoder', in_channels=in_channels)
        check_integers('MambaSegDecoder', least=0, depths=depths)
        check_numbers('MambaSegDecoder', below=1, drop_path_rate=drop_path_rate)
        check_sizes('MambaSegDecoder', final_scale=final_scale)
        check_seed('MambaSegDecoder', shuffle_seed)
        if len(in_channels) < 2 or len(depths) != len(in_channels) - 1:
            raise ValueError(
                'MambaSegDecoder: depths has one number for each map but the deepest, got '
                f'depths={list(depths)} for in_channels={list(in_channels)}'
            )
        self.pyramid = None
        if pyramid is not None:
            self.pyramid = build_pyramid('MambaSegDecoder', in_channels, pyramid)
        *skips, lower = in_channels
        skips = skips[::-1]  # deepest first, as the decoder goes
        rates = iter(np.linspace(drop_path_rate, 0, sum(depths)).tolist())
        seeds = count(shuffle_seed)
        self.expand_layers, self.concat_back_dim, self.stages = ModuleList(), ModuleList(), ModuleList()
        for channels, depth in zip(skips, depths, strict=True):
            self.expand_layers.append(_PatchExpand(lower, channels, 2))
            self.concat_back_dim.append(nn.Linear(2 * channels, channels))
            self.stages.append(
                _Stage(
                    VSSBlock(channels, next(rates), d_state, ssm_ratio, mlp_ratio, orders, next(seeds))
                    for _ in range(depth)
                )
            )
            lower = channels
        self.expand_layers.append(_PatchExpand(lower, lower, final_scale))
        self.in_channels = list(in_channels)
        self.out_channels = [*skips, lower]

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Decode.

        Args:
            inputs (Sequence[Tensor]): Maps of the backbone, finest first, ``(B, in_channels[i], H_i,
                W_i)``.

        Returns:
            tuple[Tensor, ...]: The map of each stage, deepest first, as large as the backbone's, and the
            last one at ``final_scale`` times its size: with four maps at strides 4 to 32, those at strides
            16, 8, 4 and 1, ``(B, out_channels[i], …)``.
        """
        check_maps('MambaSegDecoder', inputs, self.in_channels)
        if self.pyramid is not None:
            inputs = self.pyramid(inputs)
        *skips, x = (x.permute(0, 2, 3, 1) for x in inputs)
        outputs = []
        for skip, expand, join, stage in zip(
            skips[::-1], self.expand_layers, self.concat_back_dim, self.stages, strict=False
        ):
            x = fitted('MambaSegDecoder', expand(x), *skip.shape[1:3])
            x = stage(join(torch.cat([x, skip], dim=-1)))
            outputs.append(x)
        outputs.append(self.expand_layers[-1](x))
        return tuple(x.permute(0, 3, 1, 2) for x in outputs)


STRIP = 8  # rows that are expanded at once where no gradient is asked for


class _PatchExpand(nn.Module):
    """More pixels for channels: a linear layer, a shuffle and a norm."""

    def __init__(self, in_dim: int, dim: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(in_dim, dim * scale**2, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or is_exporting():  # a graph for any batch has no strips
            return self._expanded(x)
        # at full resolution every copy is of 256 bytes a pixel: a strip at a time, no more than the result
        y = None
        for i, strip in enumerate(x.split(STRIP, dim=1)):
            part = self._expanded(strip)
            if y is None:
                y = part.new_empty(len(x), *(self.scale * side for side in x.shape[1:3]), part.shape[-1])
            y[:, i * STRIP * self.scale :][:, : part.shape[1]] = part
        return y

    def _expanded(self, x: Tensor) -> Tensor:
        x = rearrange(self.expand(x), 'b h w (i j c) -> b (h i) (w j) c', i=self.scale, j=self.scale)
        return self.norm(x)


class _Stage(nn.Module):
    """VSS blocks, under the released name."""

    def __init__(self, blocks) -> None:
        super().__init__()
        self.blocks = ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x
