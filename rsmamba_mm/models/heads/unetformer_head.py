"""The heads of UNetFormer, for mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn


@MODELS.register_module()
class UNetFormerHead(BaseDecodeHead):
    """A 3×3 convolution and a 1×1 one (UNetFormer, arXiv:2109.08937), behind :class:`UNetFormerDecoder`.

    Args:
        in_channels (int): Channels of the map. Defaults to 64.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (int): Which of the neck's maps it is. Defaults to 3, the finest.
        dropout_ratio (float): Dropout of whole channels before the classification. Defaults to 0.1.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        act_cfg (dict): Activation. Defaults to ReLU6.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``loss_decode``, ``ignore_index``,
            ``sampler``, ``align_corners``, ``out_channels``, ``threshold``, ``init_cfg``.

    Raises:
        TypeError: If an argument is unknown.
    """

    def __init__(
        self,
        in_channels: int = 64,
        num_classes: int = 6,
        in_index: int = 3,
        dropout_ratio: float = 0.1,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        act_cfg: dict = dict(type='ReLU6'),  # noqa: B006 - never written to
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            channels=in_channels,
            num_classes=num_classes,
            in_index=in_index,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            **kwargs,
        )
        self.conv = ConvModule(in_channels, in_channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.conv_seg = nn.Conv2d(in_channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(B, out_channels, H, W)`` of the map ``(B, in_channels, H, W)`` at ``in_index``."""
        return self.cls_seg(self.conv(self._transform_inputs(inputs)))


@MODELS.register_module()
class UNetFormerAuxHead(UNetFormerHead):
    """The classes from the sum of the coarser maps (UNetFormer, arXiv:2109.08937): an auxiliary head, which
    mmseg runs in training alone.

    Args:
        in_channels (int): Channels of each map. Defaults to 64.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (Sequence[int]): Which of the neck's maps are summed; all are brought to the size of the
            last one. Defaults to ``(0, 1, 2)``.
        dropout_ratio (float): Dropout before the classification. Defaults to 0.1.
        loss_decode (dict): Defaults to cross-entropy with a weight of 0.4.
        **kwargs: Further arguments of :class:`UNetFormerHead`.

    Raises:
        TypeError: If an argument is unknown.
    """

    def __init__(
        self,
        in_channels: int = 64,
        num_classes: int = 6,
        in_index: Sequence[int] = (0, 1, 2),
        dropout_ratio: float = 0.1,
        loss_decode: dict | Sequence[dict] = dict(type='SoftCrossEntropyLoss', loss_weight=0.4),  # noqa: B006
        **kwargs,
    ) -> None:
        *coarser, finest = in_index
        super().__init__(in_channels, num_classes, finest, loss_decode=loss_decode, **kwargs)
        self.coarser = coarser
        self.dropout = nn.Dropout(dropout_ratio)  # of single numbers, not of channels

    def _transform_inputs(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[self.in_index]
        for index in self.coarser:
            x = x + F.interpolate(inputs[index], x.shape[2:], mode='bilinear', align_corners=True)
        return x
