"""How UNetFormer's decoder joins two maps, and refines what it has joined."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

BN = dict(type='BN')  # never written to
EPS = 1e-8  # of the published formula


class WeightedFusion(BaseModule):
    """``w_0·conv1×1(skip) + w_1·up(x)``, and a 3×3 convolution (WF; UNetFormer, arXiv:2109.08937).

    The two weights are learnt, from 1; negative ones count as 0, and their sum is brought to 1.

    Args:
        in_channels (int): Channels of the skip.
        channels (int): Channels C.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        norm_cfg: dict = BN,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.weights = nn.Parameter(torch.ones(2))
        self.lateral = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.conv = ConvModule(
            channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=dict(type='ReLU6')
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``(B, C, h, w)``, brought to the size of the skip ``(B, in_channels, H, W)``, to
        ``(B, C, H, W)``."""
        of_skip, of_x = (weights := self.weights.relu()) / (weights.sum() + EPS)
        x = F.interpolate(x, skip.shape[2:], mode='bilinear')
        return self.conv(of_skip * self.lateral(skip) + of_x * x)


class FeatureRefinement(BaseModule):
    """A residual block of two gated copies, one by pixels and one by channels (the feature refinement head
    of UNetFormer, arXiv:2109.08937).

    Args:
        channels (int): Channels C.
        reduction (int): C over the channels between the convolutions of the second gate, of which there is
            at least one. Defaults to 16.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        norm_cfg: dict = BN,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        hidden = max(1, channels // reduction)
        self.pixel_gate = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.channel_gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU6(),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )
        self.shortcut = ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.proj = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            build_norm_layer(norm_cfg, channels)[1],
            nn.Conv2d(channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same."""
        gated = x * self.pixel_gate(x).sigmoid() + x * self.channel_gate(x).sigmoid()
        return F.relu6(self.proj(gated) + self.shortcut(x))
