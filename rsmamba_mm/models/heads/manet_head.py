"""MANet's decoder of attention and transposed convolutions, as a head of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import ModuleList
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ...layers import ChannelSelfAttention, PositionAttention


@MODELS.register_module()
class MANetHead(BaseDecodeHead):
    """Multiattention network (MANet; Li et al., TGRS 2022, arXiv:2009.02130) behind any backbone.

    Each map passes attention between its pixels and between its channels. From the deepest up, transposed
    convolutions double the size and the next map is added; three more convolutions end at full resolution.

    Args:
        in_channels (Sequence[int]): Channels of the backbone's maps, finest first, each half as large as
            the one before it (or an odd number rounded up). Defaults to ``(256, 512, 1024, 2048)``,
            ResNet-50's.
        channels (int): Channels at full resolution. Defaults to 32.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (Sequence[int]): Which maps these are. Defaults to ``(0, 1, 2, 3)``.
        dropout_ratio (float): Dropout before the classification. Defaults to 0.
        norm_cfg (dict): Normalisation of the decoder's blocks. Defaults to batch normalisation.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``loss_decode``, ``ignore_index``,
            ``sampler``, ``align_corners``, ``out_channels``, ``threshold``, ``init_cfg``.

    Raises:
        TypeError: If an argument is unknown.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        channels: int = 32,
        num_classes: int = 6,
        in_index: Sequence[int] = (0, 1, 2, 3),
        dropout_ratio: float = 0.0,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.attentions = ModuleList(_Attention(c) for c in in_channels)
        wider = (in_channels[0], *in_channels)  # the first block ends at stride 2, as wide as it begins
        self.blocks = ModuleList(
            _Block(c, out, norm_cfg) for out, c in zip(wider[:-1], in_channels, strict=True)
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels[0], channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
        )
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 3, padding=1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode.

        Args:
            inputs (Sequence[Tensor]): Maps of the backbone, finest first, ``(B, in_channels[i], H_i,
                W_i)``.

        Returns:
            Tensor: Logits ``(B, out_channels, 4·H_0, 4·W_0)``.
        """
        maps = [
            attend(x) for attend, x in zip(self.attentions, self._transform_inputs(inputs), strict=True)
        ]
        x = maps[-1]
        for i in range(len(maps) - 1, 0, -1):
            height, width = maps[i - 1].shape[-2:]
            # of an odd size the lower map is the half, rounded up
            x = self.blocks[i](x)[..., :height, :width] + maps[i - 1]
        return self.cls_seg(self.up(self.blocks[0](x)))


class _Attention(nn.Module):
    """Between pixels and between channels, added; each carries the map, which so counts twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position = PositionAttention(channels)
        self.channel = ChannelSelfAttention()

    def forward(self, x: Tensor) -> Tensor:
        return self.position(x) + self.channel(x)


class _Block(nn.Sequential):
    """Twice the size, in a quarter of the channels."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        hidden = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, hidden, 1),
            build_norm_layer(norm_cfg, hidden)[1],
            nn.ReLU(),
            nn.ConvTranspose2d(hidden, hidden, 3, stride=2, padding=1, output_padding=1),
            build_norm_layer(norm_cfg, hidden)[1],
            nn.ReLU(),
            nn.Conv2d(hidden, out_channels, 1),
            build_norm_layer(norm_cfg, out_channels)[1],
            nn.ReLU(),
        )
