"""The decoder of UNetFormer."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor

from ...errors import OptionError
from ...layers import FeatureRefinement, GlobalLocalBlock, WeightedFusion
from .pyramid import build_pyramid, check_maps


@MODELS.register_module()
class UNetFormerDecoder(BaseModule):
    """Decoder of UNetFormer (Wang et al., ISPRS 2022, arXiv:2109.08937) behind any backbone.

    The deepest map is thinned and mixed by a global-local transformer block; from it up, each other map is
    joined by two learnt weights and mixed in the same way, but the finest, which is refined by
    convolutions. A head takes the last map, with ``in_index=3``; the others may be supervised in training.

    Args:
        in_channels (Sequence[int]): Channels of the backbone's maps, finest first. Defaults to
            ``(64, 128, 256, 512)``, ResNet-18's.
        channels (int): Channels C of the decoder. Defaults to 64.
        num_heads (int): Heads of the attention, which divide C. Defaults to 8.
        window_size (int): Side of the attention's windows, even. Defaults to 8.
        pyramid (Sequence[float], optional): For a backbone whose maps share one stride, such as RSMamba:
            the scales to bring them to first by mmseg's ``Feature2Pyramid``, ``(4, 2, 1, 0.5)`` at stride
            16, ``(2, 1, 0.5, 0.25)`` at stride 8. Defaults to None.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None: that of the parts.

    Raises:
        OptionError: If there are fewer than two maps, the heads do not divide the channels, or the
            window's side is odd.
        ValueError: If the scales of the pyramid do not fit the maps; in a run, if there are not as many
            maps as channels.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 128, 256, 512),
        channels: int = 64,
        num_heads: int = 8,
        window_size: int = 8,
        pyramid: Sequence[float] | None = None,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) < 2:
            raise OptionError(f'UNetFormerDecoder joins at least two maps, got in_channels={in_channels}')
        self.in_channels = list(in_channels)
        self.pyramid = None
        if pyramid is not None:
            self.pyramid = build_pyramid('UNetFormerDecoder', in_channels, pyramid)
        *skips, deepest = in_channels
        self.pre_conv = ConvModule(deepest, channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.blocks = ModuleList(
            GlobalLocalBlock(channels, num_heads, window_size, norm_cfg=norm_cfg) for _ in skips
        )
        self.fusions = ModuleList(WeightedFusion(width, channels, norm_cfg) for width in skips[::-1])
        self.refine = FeatureRefinement(channels, norm_cfg=norm_cfg)
        self.out_channels = [channels] * len(in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Decode.

        Args:
            inputs (Sequence[Tensor]): Maps of the backbone, finest first, ``(B, in_channels[i], H_i,
                W_i)``, of any size from one pixel.

        Returns:
            tuple[Tensor, ...]: As many of the same sizes, deepest first, ``(B, C, H_i, W_i)``.
        """
        check_maps('UNetFormerDecoder', inputs, self.in_channels)
        if self.pyramid is not None:
            inputs = self.pyramid(inputs)
        *skips, x = inputs
        x = self.pre_conv(x)
        outputs = []
        for block, fuse, skip in zip(self.blocks, self.fusions, skips[::-1], strict=True):
            outputs.append(block(x))
            x = fuse(outputs[-1], skip)
        return *outputs, self.refine(x)
