"""The classification of each pixel from a decoder's last map, as a head of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn


@MODELS.register_module()
class PixelHead(BaseDecodeHead):
    """One 1×1 convolution, ``conv_seg``, with no dropout: the head of UNetMamba (arXiv:2408.11545).

    Args:
        in_channels (int): Channels of the map. Defaults to 64.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (int): Which of the neck's maps it is. Defaults to 3, the full resolution.
        channels (int, optional): Repeats ``in_channels``, as configs of mmseg's heads have it. Defaults to
            None.
        bias (bool): Whether the convolution has one. Defaults to True.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``loss_decode``, ``ignore_index``,
            ``sampler``, ``align_corners``, ``out_channels``, ``threshold``, ``init_cfg``.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If ``channels`` are others than ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int = 64,
        num_classes: int = 6,
        in_index: int = 3,
        channels: int | None = None,
        bias: bool = True,
        **kwargs,
    ) -> None:
        if channels not in (None, in_channels):
            raise ValueError(
                f'PixelHead has one convolution, from in_channels={in_channels} to the classes: leave '
                f'channels={channels} out, or take a head with more, such as FCNHead'
            )
        super().__init__(
            in_channels=in_channels,
            channels=in_channels,
            num_classes=num_classes,
            in_index=in_index,
            dropout_ratio=0,
            **kwargs,
        )
        if not bias:
            self.conv_seg = nn.Conv2d(in_channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits ``(B, out_channels, H, W)`` of the map ``(B, in_channels, H, W)`` at ``in_index``."""
        return self.cls_seg(self._transform_inputs(inputs))
