"""BANet: a transformer for what depends on far places, and convolutions for texture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...layers import LinearAttention


@MODELS.register_module()
class BANet(BaseModule):
    """Bilateral awareness network (BANet; Wang et al., Remote Sensing 2021, arXiv:2106.12413).

    The dependency path is any backbone with maps at the strides 16 and 32, of which the deeper gates the
    other; the texture path is four convolutions. Both meet at stride 8, weighed by linear attention. Behind
    it stands :class:`PixelShuffleHead`, or any head of mmseg.

    Args:
        context (dict): Backbone of the dependency path, whose last two maps are taken. Defaults to
            ResT-Lite.
        context_channels (Sequence[int]): Channels of these maps. Defaults to ``(256, 512)``.
        channels (int): Channels of each path at stride 8; the fused map has twice as many. Defaults to 128.
        in_channels (int): Bands of the images. Defaults to 3.
        norm_cfg (dict): Normalisation of the convolutions. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None: that of the parts.

    Raises:
        ValueError: If ``context_channels`` are not two numbers.
    """

    def __init__(
        self,
        context: dict = dict(type='ResT', arch='lite', out_indices=(2, 3)),  # noqa: B006 - never written to
        context_channels: Sequence[int] = (256, 512),
        channels: int = 128,
        in_channels: int = 3,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(context_channels) != 2:
            raise ValueError(
                'BANet: context_channels are those of the maps at the strides 16 and 32, got '
                f'{list(context_channels)}'
            )
        near, far = context_channels
        conv, hidden = dict(norm_cfg=norm_cfg), channels // 2
        self.context = MODELS.build(context)
        self.attention = LinearAttention(far)
        self.attention_conv = ConvModule(far, near, 3, padding=1, **conv)
        self.expand = nn.Conv2d(near, 4 * near, 1)
        self.dependency_conv = ConvModule(near, channels, 1, **conv)
        self.texture = nn.Sequential(
            ConvModule(in_channels, hidden, 7, stride=2, padding=3, **conv),
            ConvModule(hidden, hidden, 3, stride=2, padding=1, **conv),
            ConvModule(hidden, hidden, 3, stride=2, padding=1, **conv),
            ConvModule(hidden, channels, 1, **conv),
        )
        self.fuse = ConvModule(2 * channels, 2 * channels, 1, **conv)
        self.fuse_attention = LinearAttention(2 * channels)
        self.out_channels = [2 * channels, channels, channels]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode images of any size.

        Args:
            x (Tensor): ``(B, in_channels, H, W)``.

        Returns:
            tuple[Tensor, Tensor, Tensor]: The fused map, and those of texture and dependency, for auxiliary
            heads; ``(B, out_channels[i], H / 8, W / 8)``, rounded up.
        """
        texture = self.texture(x)
        dependency = self._doubled_to(texture, self.dependency_conv(self._gated(*self.context(x)[-2:])))
        fused = self.fuse(torch.cat([texture, dependency], dim=1))
        return fused * self.fuse_attention(fused) + fused, texture, dependency

    def _gated(self, near: Tensor, far: Tensor) -> Tensor:
        """``near·gate + near``, the gate from attention over the deeper map."""
        gate = F.pixel_shuffle(self.expand(self.attention_conv(self.attention(far))), 2)
        height, width = near.shape[-2:]  # of an odd size the deeper map is the half, rounded up
        return near * gate[..., :height, :width] + near

    @staticmethod
    def _doubled_to(like: Tensor, x: Tensor) -> Tensor:
        height, width = like.shape[-2:]
        return F.interpolate(x, scale_factor=2, mode='nearest')[..., :height, :width]
