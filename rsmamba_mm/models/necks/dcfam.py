"""The densely connected feature aggregation module of DC-Swin, as a neck."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...layers import LinearAttention, SharedChannelAttention
from .pyramid import build_pyramid, check_maps


@MODELS.register_module()
class DCFAM(BaseModule):
    """Densely connected feature aggregation (DCFAM; DC-Swin, Wang et al., GRSL 2022, arXiv:2104.12137).

    Behind any backbone with four maps: they are joined upward and downward, through one attention between
    pixels and one between channels, each used twice. Behind it stands :class:`DCSwinHead`.

    Args:
        in_channels (Sequence[int]): Channels of the backbone's maps, finest first, each half as large as
            the one before it (or an odd number rounded up). Defaults to ``(96, 192, 384, 768)``, Swin-T's.
        pyramid (Sequence[float], optional): For a backbone whose maps share one stride, such as RSMamba:
            the scales to bring them to first by mmseg's ``Feature2Pyramid``, ``(4, 2, 1, 0.5)`` at stride
            16, ``(2, 1, 0.5, 0.25)`` at stride 8. Defaults to None.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None: that of the parts.

    Raises:
        ValueError: If ``in_channels`` are not four numbers, or the scales do not fit them.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (96, 192, 384, 768),
        pyramid: Sequence[float] | None = None,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != 4:
            raise ValueError(f'DCFAM joins four maps: in_channels are {list(in_channels)}')
        self.in_channels = list(in_channels)
        self.pyramid = None if pyramid is None else build_pyramid('DCFAM', in_channels, pyramid)
        c1, c2, c3, c4 = in_channels
        self.lateral1 = nn.Conv2d(c1, c1, 1, bias=False)
        self.lateral4 = nn.Conv2d(c4, c4, 1, bias=False)
        self.pixels = LinearAttention(c3)
        self.channels = SharedChannelAttention()
        self.down12 = _Down(c1, c2, norm_cfg)
        self.down123 = _Down(c2, c3, norm_cfg)
        self.down23 = _Down(c2, c3, norm_cfg)
        self.down34 = _Down(c3, c4, norm_cfg)
        self.up43, self.up42 = _separable(c4, c3, 6, norm_cfg), _separable(c3, c2, 12, norm_cfg)
        self.up32, self.up31 = _separable(c3, c2, 6, norm_cfg), _separable(c2, c1, 12, norm_cfg)
        self.out_channels = [c1, c2]

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Join.

        Args:
            inputs (Sequence[Tensor]): Maps of the backbone, finest first, ``(B, in_channels[i], H_i,
                W_i)``.

        Returns:
            tuple[Tensor, Tensor]: The two finest, of the same size and channels as they came.
        """
        check_maps('DCFAM', inputs, self.in_channels)
        x1, x2, x3, x4 = inputs if self.pyramid is None else self.pyramid(inputs)
        y4 = self.lateral4(x4) + self.down34(self.pixels(self.down23(x2)))
        y3 = self.pixels(x3) + self.down123(self.channels(self.down12(x1)))
        y2 = self.channels(x2) + _enlarged(self.up42(_enlarged(self.up43(y4), x3)), x2)
        y1 = self.lateral1(x1) + _enlarged(self.up31(_enlarged(self.up32(y3), x2)), x1)
        return y1, y2


class _Down(nn.Module):
    """A residual block of half the size."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        half = dict(kernel_size=3, stride=2, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        self.conv1 = ConvModule(in_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)
        self.conv2 = ConvModule(out_channels, out_channels, **half)
        self.shortcut = ConvModule(in_channels, out_channels, **half)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


def _separable(in_channels: int, out_channels: int, dilation: int, norm_cfg: dict) -> nn.Module:
    """A 3×3 convolution of each channel, 1×1 between them, norm and ReLU at the end alone."""
    return DepthwiseSeparableConvModule(
        in_channels,
        out_channels,
        3,
        padding=dilation,
        dilation=dilation,
        norm_cfg=norm_cfg,
        dw_norm_cfg=None,
        dw_act_cfg=None,
        bias=False,
    )


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode='nearest')
