"""The decoder of CM-UNet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from einops import rearrange
from mmengine.model import BaseModule, ModuleList, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...layers import DIRECTIONS, BottleneckVSSBlock, MultiScaleAggregation
from .pyramid import build_pyramid, check_maps, fitted


@MODELS.register_module()
class CMUNetDecoder(BaseModule):
    """Decoder of CM-UNet (arXiv:2405.10530) behind any backbone.

    All maps but the deepest enrich one another (MSAA). From the deepest up, each stage joins such a map,
    mixes by VSS blocks, and doubles the size for the next. A head takes the last map, with ``in_index=3``;
    the others may be supervised in training.

    Args:
        in_channels (Sequence[int]): Channels of the backbone's maps, finest first, multiples of 4, each
            map half as large as the one before it (odd numbers rounded up or down). Defaults to
            ``(64, 128, 256, 512)``, ResNet-18's.
        depths (Sequence[int]): VSS blocks of each stage, deepest first. Defaults to ``(2, 2, 2, 2)``.
        drop_path_rate (float): Rate of stochastic depth of the first block, falling to 0 in the last.
            Defaults to 0.2.
        d_state (int): States per inner channel. Defaults to 16.
        ssm_ratio (float): Inner channels of SS2D over the blocks' inner width. Defaults to 0.5.
        pyramid (Sequence[float], optional): For a backbone whose maps share one stride, such as RSMamba:
            the scales to bring them to first by mmseg's ``Feature2Pyramid``, ``(4, 2, 1, 0.5)`` at stride
            16, ``(2, 1, 0.5, 0.25)`` at stride 8. Defaults to None.
        orders (Sequence[str]): Scan orders of all blocks. Random ones are drawn anew in training, and
            fixed in evaluation. Defaults to rows, columns and both backwards, the paper's.
        shuffle_seed (int): Seed of the first block's random orders in evaluation, 1 more for each block
            that follows. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None: truncated normal linear layers.

    Raises:
        ValueError: If the numbers of maps, depths and scales do not fit together, channels are no
            multiples of 4, or an order is unknown; in a run, if a map is not half as large as the one
            before it.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        drop_path_rate: float = 0.2,
        d_state: int = 16,
        ssm_ratio: float = 0.5,
        pyramid: Sequence[float] | None = None,
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0)
        super().__init__(init_cfg)
        if len(in_channels) < 2 or len(depths) != len(in_channels):
            raise ValueError(
                'CMUNetDecoder: depths has one number for each map, got '
                f'depths={list(depths)} for in_channels={list(in_channels)}'
            )
        if any(channels % 4 for channels in in_channels):
            raise ValueError(f'CMUNetDecoder: in_channels must be multiples of 4, got {list(in_channels)}')
        self.in_channels = list(in_channels)
        self.pyramid = None
        if pyramid is not None:
            self.pyramid = build_pyramid('CMUNetDecoder', in_channels, pyramid)
        rates = iter(np.linspace(drop_path_rate, 0, sum(depths)).tolist())
        seeds = count(shuffle_seed)
        widths = in_channels[::-1]  # deepest first, as the decoder goes
        self.aggregate = MultiScaleAggregation(in_channels[:-1])
        self.stages = ModuleList(
            Sequential(
                *(
                    BottleneckVSSBlock(width, next(rates), d_state, ssm_ratio, orders, next(seeds))
                    for _ in range(depth)
                )
            )
            for width, depth in zip(widths, depths, strict=True)
        )
        self.expand_layers = ModuleList(map(_PatchExpand, widths[:-1], widths[1:]))
        self.concat_back_dim = ModuleList(nn.Linear(2 * width, width) for width in widths[1:])
        self.norm = nn.LayerNorm(widths[-1])
        self.out_channels = [*widths[2:], widths[-1], widths[-1]]

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Decode.

        Args:
            inputs (Sequence[Tensor]): Maps of the backbone, finest first, ``(B, in_channels[i], H_i,
                W_i)``.

        Returns:
            tuple[Tensor, ...]: What each stage but the first hands on, deepest first, and the last one
            again after a norm: with four maps at strides 4 to 32, those at strides 8, 4, 4 and 4,
            ``(B, out_channels[i], …)``.
        """
        check_maps('CMUNetDecoder', inputs, self.in_channels)
        if self.pyramid is not None:
            inputs = self.pyramid(inputs)
        *skips, x = inputs
        skips = [skip.permute(0, 2, 3, 1) for skip in self.aggregate(skips)[::-1]]
        x = self.stages[0](x.permute(0, 2, 3, 1))
        outputs = []
        for skip, expand, join, stage in zip(
            skips, self.expand_layers, self.concat_back_dim, self.stages[1:], strict=True
        ):
            x = fitted('CMUNetDecoder', expand(x), *skip.shape[1:3])
            outputs.append(x)
            x = stage(join(torch.cat([x, skip], dim=-1)))
        outputs += [x, self.norm(x)]
        # what the first stage hands on is no output
        return tuple(x.permute(0, 3, 1, 2) for x in outputs[1:])


class _PatchExpand(nn.Module):
    """More pixels for channels: a shuffle, a linear layer and a norm."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.expand = nn.Linear(in_dim // 4, dim, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.expand(rearrange(x, 'b h w (c i j) -> b (h i) (w j) c', i=2, j=2)))
