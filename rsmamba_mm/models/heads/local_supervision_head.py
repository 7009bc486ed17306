"""The local supervision module of UNetMamba, as an auxiliary head of mmseg."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import ModuleList
from mmengine.registry import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ...layers.options import check_integers, check_numbers, check_several


@MODELS.register_module()
class LocalSupervisionHead(BaseDecodeHead):
    """Local supervision module (LSM; UNetMamba, arXiv:2408.11545, Sec. II-C).

    Each stage of the decoder predicts the classes from its neighbourhood, and the sum of these predictions
    is supervised. mmseg runs an auxiliary head in training alone: inference costs nothing more.

    Args:
        in_channels (Sequence[int]): Channels of the decoder's stages. Defaults to ``(256, 128, 64)``.
        num_classes (int): Number of classes. Defaults to 6.
        in_index (Sequence[int]): Which of the neck's maps these are. Defaults to ``(0, 1, 2)``.
        size_index (int): The map whose size the predictions are enlarged to before they are summed.
            Defaults to 3, the full resolution.
        dropout_ratio (float): Dropout before the classification. Defaults to 0.1.
        loss_decode (dict): Defaults to cross-entropy with a weight of 0.4.
        **kwargs: Further arguments of mmseg's ``BaseDecodeHead``: ``ignore_index``, ``sampler``,
            ``align_corners``, ``out_channels``, ``threshold``.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If an option has no meaning.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 128, 64),
        num_classes: int = 6,
        in_index: Sequence[int] = (0, 1, 2),
        size_index: int = 3,
        dropout_ratio: float = 0.1,
        loss_decode: dict | Sequence[dict] = dict(type='SoftCrossEntropyLoss', loss_weight=0.4),  # noqa: B006
        **kwargs,
    ) -> None:
        name = 'LocalSupervisionHead'
        check_integers(name, in_channels=in_channels)
        check_integers(name, least=0, in_index=in_index)
        if len(in_index) != len(in_channels):
            raise ValueError(
                f'{name}: in_index names the map of each of in_channels, got in_index={in_index} for '
                f'in_channels={in_channels}'
            )
        check_integers(name, least=0, size_index=[size_index])
        check_numbers(name, below=1, dropout_ratio=dropout_ratio)
        super().__init__(
            in_channels=list(in_channels),
            channels=in_channels[-1],
            num_classes=num_classes,
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=0,
            loss_decode=loss_decode,
            init_cfg=kwargs.pop('init_cfg', None),
            **kwargs,
        )
        del self.conv_seg  # each stage has a classification of its own
        self.size_index = size_index
        self.lsm = ModuleList(
            _Supervision(channels, self.out_channels, dropout_ratio) for channels in in_channels
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Predict from each stage and sum.

        Args:
            inputs (Sequence[Tensor]): The neck's maps, ``(B, C_i, H_i, W_i)``.

        Returns:
            Tensor: Logits ``(B, out_channels, H, W)`` at the size of map ``size_index``.

        Raises:
            ValueError: If the neck has other maps than ``in_index``, ``in_channels`` or ``size_index`` say.
        """
        self._check_maps(inputs)
        size = inputs[self.size_index].shape[-2:]
        maps = zip(self.lsm, self._transform_inputs(inputs), strict=True)
        return sum(
            F.interpolate(predict(x), size, mode='bilinear', align_corners=self.align_corners)
            for predict, x in maps
        )

    def _check_maps(self, inputs: Sequence[Tensor]) -> None:
        channels = [x.shape[1] for x in inputs]
        if max(*self.in_index, self.size_index) >= len(channels) or any(
            channels[i] != wanted for i, wanted in zip(self.in_index, self.in_channels, strict=True)
        ):
            raise ValueError(
                f'LocalSupervisionHead: the neck has maps of {channels} channels, to which '
                f'in_index={self.in_index}, in_channels={self.in_channels} and '
                f'size_index={self.size_index} do not fit'
            )


class _Supervision(nn.Module):
    """``ReLU6(BN(conv3×3(x))) + ReLU6(BN(conv1×1(x)))``, dropout, classes."""

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv3, self.conv1 = (
            nn.Sequential(
                nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU6(),
            )
            for kernel in (3, 1)
        )
        self.dropout = nn.Dropout(dropout)
        self.conv_out = nn.Conv2d(channels, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_several('LocalSupervisionHead', x, self.training)
        return self.conv_out(self.dropout(self.conv3(x) + self.conv1(x)))
