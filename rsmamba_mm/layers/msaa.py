"""Multi-scale attention aggregation of a backbone's maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from .gates import ChannelGate, SpatialGate


class MultiScaleAggregation(BaseModule):
    """Enriches each of several maps by all the others (MSAA; CM-UNet, arXiv:2405.10530, Sec. III-D).

    All maps are thinned to a quarter of their channels. Each level brings the others to its own size, and
    weighs what it makes of them by channels and, after convolutions of three sizes, by pixels.

    Args:
        in_channels (Sequence[int]): Channels of the maps, finest first, at least 16 each.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self, in_channels: Sequence[int], init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        thin = [channels // 4 for channels in in_channels]
        self.transfer = ModuleList(
            nn.Conv2d(channels, few, 1, bias=False) for channels, few in zip(in_channels, thin, strict=True)
        )
        self.levels = ModuleList(_Level(sum(thin), channels) for channels in in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Aggregate.

        Args:
            inputs (Sequence[Tensor]): Maps ``(B, in_channels[i], H_i, W_i)``.

        Returns:
            list[Tensor]: As many of the same shapes.
        """
        maps = [thin(x) for thin, x in zip(self.transfer, inputs, strict=True)]
        outputs = []
        for i, level in enumerate(self.levels):
            size = maps[i].shape[2:]
            # its own first, then the nearest in scale, of two the finer
            order = sorted(range(len(maps)), key=lambda j, i=i: (abs(i - j), j))
            outputs.append(level(torch.cat([_resized(maps[j], size) for j in order], 1)))
        return outputs


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size, mode='bilinear', align_corners=True)


class _Level(nn.Module):
    """``conv1×1(u · CA(u) + s · SA(s))``, ``u`` a 1×1 convolution, ``s`` the sum of three of ``u``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = out_channels // 4
        self.down = nn.Conv2d(in_channels, hidden, 1)
        self.convs = ModuleList(nn.Conv2d(hidden, hidden, k, padding=k // 2) for k in (3, 5, 7))
        self.channel_gate, self.spatial_gate = ChannelGate(hidden), SpatialGate()
        self.up = nn.Conv2d(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return self.up(self.spatial_gate(sum(conv(x) for conv in self.convs)) + self.channel_gate(x))
