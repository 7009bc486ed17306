"""The head of DC-Swin, for mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn


@MODELS.register_module()
class DCSwinHead(BaseDecodeHead):
    """The two finest maps added, and a convolution (DC-Swin, arXiv:2104.12137), behind :class:`DCFAM`.

    Args:
        in_channels (Sequence[int]): Channels of the two maps, finest first. Defaults to ``(96, 192)``.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (Sequence[int]): Which of the neck's maps these are. Defaults to ``(0, 1)``.
        dropout_ratio (float): Dropout of whole channels before the last convolution but one. Defaults to
            0.05.
        align_corners (bool): How the logits are enlarged to the image. Defaults to True, as released.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``loss_decode``, ``ignore_index``,
            ``sampler``, ``out_channels``, ``threshold``, ``init_cfg``.

    Raises:
        TypeError: If an argument is unknown.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (96, 192),
        num_classes: int = 6,
        in_index: Sequence[int] = (0, 1),
        dropout_ratio: float = 0.05,
        align_corners: bool = True,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        **kwargs,
    ) -> None:
        fine, coarse = in_channels
        super().__init__(
            in_channels=[fine, coarse],
            channels=fine,
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            align_corners=align_corners,
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.lateral = ConvModule(coarse, fine, 3, padding=1, norm_cfg=norm_cfg)
        self.conv = ConvModule(fine, fine, 3, padding=1, norm_cfg=norm_cfg)
        self.conv_seg = nn.Conv2d(fine, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(B, out_channels, H_0, W_0)`` of maps ``(B, in_channels[i], H_i, W_i)``."""
        fine, coarse = self._transform_inputs(inputs)
        x = fine + F.interpolate(self.lateral(coarse), fine.shape[-2:], mode='nearest')
        if self.dropout is not None:
            x = self.dropout(x)
        return self.conv_seg(self.conv(x))
