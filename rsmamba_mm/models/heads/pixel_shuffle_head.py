"""Full resolution out of channels, as a head of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn


@MODELS.register_module()
class PixelShuffleHead(BaseDecodeHead):
    """A 3×3 convolution, and a 1×1 one to the logits of ``up_factor²`` pixels: the head of BANet
    (arXiv:2106.12413).

    Args:
        in_channels (int): Channels of the map. Defaults to 256.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (int): Which of the maps it is. Defaults to 0.
        up_factor (int): Stride of the map, which the logits are finer by. Defaults to 8.
        channels (int, optional): Between the convolutions. Defaults to None: ``in_channels``.
        dropout_ratio (float): Dropout before the classification. Defaults to 0.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``loss_decode``, ``ignore_index``,
            ``sampler``, ``align_corners``, ``out_channels``, ``threshold``, ``init_cfg``.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If ``up_factor`` is below 1.
    """

    def __init__(
        self,
        in_channels: int = 256,
        num_classes: int = 6,
        in_index: int = 0,
        up_factor: int = 8,
        channels: int | None = None,
        dropout_ratio: float = 0.0,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        **kwargs,
    ) -> None:
        if up_factor < 1:
            raise ValueError(f'PixelShuffleHead: up_factor must be at least 1, got {up_factor}')
        super().__init__(
            in_channels=in_channels,
            channels=channels or in_channels,
            num_classes=num_classes,
            in_index=in_index,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.up_factor = up_factor
        self.conv = ConvModule(in_channels, self.channels, 3, padding=1, norm_cfg=norm_cfg)
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels * up_factor**2, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(B, out_channels, up_factor·H, up_factor·W)`` of a map ``(B, in_channels, H, W)``."""
        return F.pixel_shuffle(self.cls_seg(self.conv(self._transform_inputs(inputs))), self.up_factor)
