"""The decoder of PyramidMamba, as a head of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import ModuleList
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ...errors import OptionError
from ...layers import MultiPathMamba, block_orders, known_orders


@MODELS.register_module()
class PyramidMambaHead(BaseDecodeHead):
    """Head of PyramidMamba (arXiv:2406.10828) behind any backbone.

    The deepest map and its means over several grids are mixed by one Mamba mixer, pixel by pixel in
    reading order, with neither norm nor residual; the result is brought to the size of a fine map, joins
    it, and is enlarged twice.

    Args:
        in_channels (Sequence[int]): Channels of the fine and of the deepest map. Defaults to
            ``(64, 512)``, ResNet-18's.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (Sequence[int]): Which of the backbone's maps these are. Defaults to ``(0, 3)``.
        channels (int): Channels before the classification. Defaults to 64.
        pool_scales (Sequence[int]): Sides of the grids. 1 is the mean of the whole map, taken after its
            convolution and not before. Defaults to ``(1, 5, 9, 13)``, the released ones for a map of
            16 × 16, that of a crop of 512 px.
        pool_channels (int): Channels of each grid's convolution. Defaults to 128.
        hidden_channels (int): Channels between the convolutions behind the mixer. Defaults to 512.
        mid_channels (int): Channels of the upward path. Defaults to 128.
        num_upsamples (int): How often the deepest map is doubled to reach the fine one. Defaults to 3,
            from stride 32 to 4.
        orders (Sequence[str]): Scan orders of the mixer, which share its weights. Defaults to
            ``('forward',)``.
        dropout_ratio (float): Dropout behind the mixer. Defaults to 0.1.
        norm_cfg (dict): Of the convolutions. Defaults to batch norm.
        act_cfg (dict): Of the convolutions. Defaults to ReLU6.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``loss_decode``, ``ignore_index``,
            ``sampler``, ``align_corners``, ``out_channels``, ``threshold``, ``conv_cfg``, ``init_cfg``.

    Raises:
        TypeError: If an argument is unknown.
        OptionError: If there are not two maps, or ``pool_scales`` are no positive integers; in a run, if
            ``num_upsamples`` does not bring the one map to the other.
        ValueError: If an order is unknown.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 512),
        num_classes: int = 6,
        in_index: Sequence[int] = (0, 3),
        channels: int = 64,
        pool_scales: Sequence[int] = (1, 5, 9, 13),
        pool_channels: int = 128,
        hidden_channels: int = 512,
        mid_channels: int = 128,
        num_upsamples: int = 3,
        orders: Sequence[str] = ('forward',),
        dropout_ratio: float = 0.1,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006
        act_cfg: dict = dict(type='ReLU6'),  # noqa: B006
        **kwargs,
    ) -> None:
        if len(in_channels) != 2 or len(in_index) != 2:
            raise OptionError(
                'PyramidMambaHead takes a fine and the deepest map: two numbers each in in_channels and '
                f'in_index, got {list(in_channels)} and {list(in_index)}'
            )
        if not pool_scales or any(not isinstance(k, int) or k < 1 for k in pool_scales):
            raise OptionError(
                f'PyramidMambaHead: pool_scales must be positive integers, got {pool_scales!r}'
            )
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=0,  # of whole channels before the classification
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            **kwargs,
        )
        fine, deep = in_channels
        joined = deep + len(pool_scales) * pool_channels
        self.pool_scales, self.orders = tuple(pool_scales), known_orders('PyramidMambaHead: orders', orders)
        self.pools = ModuleList(self._conv(deep, pool_channels, 1) for _ in pool_scales)
        self.mixer = MultiPathMamba(joined)
        self.ffn = nn.Sequential(
            self._conv(joined, joined),
            nn.Conv2d(joined, hidden_channels, 1, bias=False),
            nn.GELU(),
            nn.Dropout(dropout_ratio),
            nn.Conv2d(hidden_channels, mid_channels, 1, bias=False),
            nn.Dropout(dropout_ratio),
        )
        self.up = ModuleList(self._conv(mid_channels, mid_channels) for _ in range(num_upsamples))
        self.lateral = self._conv(fine, mid_channels)
        self.last = ModuleList([self._conv(mid_channels, channels), self._conv(channels, channels)])
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)

    def _conv(self, in_channels: int, channels: int, kernel_size: int = 3) -> ConvModule:
        return ConvModule(
            in_channels,
            channels,
            kernel_size,
            padding=kernel_size // 2,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Predict.

        Args:
            inputs (Sequence[Tensor]): Maps of a backbone, ``(B, C_i, H_i, W_i)``.

        Returns:
            Tensor: Logits ``(B, out_channels, 2 * H, 2 * W)``, twice the size of the fine map. mmseg
            enlarges them to the image, which is the same as to classify at that size.
        """
        fine, x = self._transform_inputs(inputs)
        height, width = fine.shape[2:]
        x = self.ffn(self._mixed(x))
        for conv in self.up:
            x = F.interpolate(conv(x), scale_factor=2, mode='nearest')
        # of an odd size the lower map is the half, rounded up
        if not all(0 <= x.shape[i] - fine.shape[i] < 2 ** len(self.up) for i in (2, 3)):
            raise OptionError(
                f'PyramidMambaHead: the deepest map is brought to {x.shape[2]} × {x.shape[3]} px and the '
                f'fine one has {height} × {width}: num_upsamples={len(self.up)} is how often it is doubled'
            )
        x = x[..., :height, :width] + self.lateral(fine)
        first, second = self.last
        x = F.interpolate(first(x), scale_factor=2, mode='bilinear', align_corners=self.align_corners)
        return self.cls_seg(second(x))

    def _mixed(self, x: Tensor) -> Tensor:
        """The deepest map beside its pools, ``(B, C, H, W)``, mixed: ``(B, joined, H, W)``."""
        size = x.shape[2:]
        pools = [
            F.interpolate(self._pooled(x, k, conv), size, mode='bilinear', align_corners=self.align_corners)
            for k, conv in zip(self.pool_scales, self.pools, strict=True)
        ]
        tokens = torch.cat([x, *pools], 1).flatten(2).mT
        orders = block_orders(self.orders, tuple(size), x.device, self.training)[0]
        return self.mixer(tokens, orders).mT.unflatten(2, size)

    @staticmethod
    def _pooled(x: Tensor, scale: int, conv: nn.Module) -> Tensor:
        if scale == 1:
            return conv(x).mean((2, 3), keepdim=True)
        return conv(F.adaptive_avg_pool2d(x, scale))
