"""AFM-Net's convolutional block of dilated branches and attention."""

from __future__ import annotations

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from .gates import ChannelGate
from .options import check_sizes

BN = dict(type='BN')


class DilatedBottleneck(BaseModule):
    """1×1 to the planes, depthwise-separable 3×3, 1×1 back, added to the input; ReLU.

    Args:
        channels (int): Channels of the input and output.
        planes (int): Channels between.
        dilation (int): Of the 3×3 convolution.
    """

    def __init__(self, channels: int, planes: int, dilation: int) -> None:
        super().__init__()
        self.reduce = ConvModule(channels, planes, 1, norm_cfg=BN)
        self.spatial = DepthwiseSeparableConvModule(
            planes, planes, 3, padding=dilation, dilation=dilation, norm_cfg=BN
        )
        self.expand = ConvModule(planes, channels, 1, norm_cfg=BN, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to the same shape."""
        return torch.relu(x + self.expand(self.spatial(self.reduce(x))))


class FEDAB(BaseModule):
    """Three branches of convolutions, joined, then gated by channel and by place (AFM-Net).

    Two bottlenecks of dilation 1 and 2 and a depthwise-separable convolution see ``4 * planes`` channels
    each. The channel gate comes from the mean and the maximum of a channel over the map, the spatial gate
    from those of a pixel over the channels. A shortcut is added before the last ReLU, which is a 1×1
    convolution where the widths differ.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        planes (int): Quarter of a branch's channels.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, in_channels: int, out_channels: int, planes: int) -> None:
        super().__init__()
        check_sizes('FEDAB', in_channels=in_channels, out_channels=out_channels, planes=planes)
        width = 4 * planes
        joined = 3 * width
        self.reduce = ConvModule(in_channels, width, 1, norm_cfg=BN)
        self.branches = nn.ModuleList(
            [
                DilatedBottleneck(width, planes, 1),
                DilatedBottleneck(width, planes, 2),
                DepthwiseSeparableConvModule(width, width, 3, padding=1, norm_cfg=BN),
            ]
        )
        self.join = DepthwiseSeparableConvModule(joined, joined, 1, norm_cfg=BN)
        self.channel_gate = ChannelGate(joined, reduction=16)
        self.spatial_gate = nn.Sequential(
            ConvModule(2, 4, 3, padding=1, norm_cfg=BN), nn.Conv2d(4, 1, 7, padding=3, bias=False)
        )
        self.expand = ConvModule(joined, out_channels, 1, norm_cfg=BN, act_cfg=None)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else ConvModule(in_channels, out_channels, 1, norm_cfg=BN, act_cfg=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``."""
        y = self.reduce(x)
        y = self.join(torch.cat([branch(y) for branch in self.branches], 1))
        y = self.channel_gate(y)
        pixels = torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)
        y = y * torch.sigmoid(self.spatial_gate(pixels))
        return torch.relu(self.expand(y) + self.shortcut(x))
