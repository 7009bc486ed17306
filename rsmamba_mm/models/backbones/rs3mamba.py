"""RS3Mamba's encoder: a convolutional network that a state-space model advises at each stage."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...errors import OptionError
from ...layers import GlobalLocalBlock


@MODELS.register_module()
class RS3MambaBackbone(BaseModule):
    """Dual-branch encoder of RS3Mamba (Ma et al., GRSL 2024, arXiv:2404.02457).

    The auxiliary branch, a stem and an encoder of four stages, reads the image on its own. After each
    stage of the main branch its map is fused with the one of the auxiliary branch, and the fused map goes
    on into the next stage and out. The attention of the fusion is within the main branch's map, its
    convolutions are of the auxiliary one's.

    Args:
        cnn (dict): Main branch: a ResNet of mmseg or mmpretrain, or ResT. Defaults to ResNet-18.
        ssm (dict): Auxiliary branch: a backbone of the stem's channels, at half the image's size, with
            four maps at the strides 2 to 16. Defaults to VMamba-T of the first release, on patches of
            2 px.
        cnn_channels (Sequence[int]): Channels of the main branch's stages. Defaults to
            ``(64, 128, 256, 512)``.
        ssm_channels (Sequence[int]): Channels of the auxiliary branch's maps. Defaults to
            ``(96, 192, 384, 768)``.
        stem_channels (int): Channels of the stem, as many as ``in_channels`` of ``ssm``. Defaults to 48.
        num_heads (int): Heads of the fusions, which divide the main branch's channels. Defaults to 16.
        window_size (int): Side of the fusions' windows, even. Defaults to 8.
        in_channels (int): Bands of the images. Defaults to 3.
        norm_cfg (dict): Normalisation of the fusions. Defaults to batch normalisation.
        init_cfg (dict, optional): Initialisation. Defaults to None: that of the parts.

    Raises:
        OptionError: If there are not four channels of each branch, the main branch is of another kind, or
            the heads do not divide its channels; in a run, if maps of one stage differ in size.
    """

    def __init__(
        self,
        cnn: dict = dict(type='mmseg.ResNet', depth=18),  # noqa: B006 - never written to
        ssm: dict = dict(type='VMamba', arch='v0', in_channels=48, patch_size=2, out_norm=False),  # noqa: B006
        cnn_channels: Sequence[int] = (64, 128, 256, 512),
        ssm_channels: Sequence[int] = (96, 192, 384, 768),
        stem_channels: int = 48,
        num_heads: int = 16,
        window_size: int = 8,
        in_channels: int = 3,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(cnn_channels) != 4 or len(ssm_channels) != 4:
            raise OptionError(
                'RS3MambaBackbone: cnn_channels and ssm_channels are those of four stages each, got '
                f'{list(cnn_channels)} and {list(ssm_channels)}'
            )
        self.cnn, self.ssm = MODELS.build(cnn), MODELS.build(ssm)
        if not hasattr(self.cnn, 'run_stage') and not hasattr(self.cnn, 'res_layers'):
            raise OptionError(
                'RS3MambaBackbone: cnn must be a ResNet of mmseg or mmpretrain, or ResT, whose stages can '
                f'be run one by one, got {type(self.cnn).__name__}'
            )
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_channels, 7, stride=2, padding=3),
            nn.InstanceNorm2d(stem_channels, affine=True),
        )
        self.fusions = ModuleList(
            GlobalLocalBlock(dim, num_heads, window_size, local_dim=other, norm_cfg=norm_cfg)
            for dim, other in zip(cnn_channels, ssm_channels, strict=True)
        )
        self.out_channels = list(cnn_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images of any size.

        Args:
            x (Tensor): ``(B, in_channels, H, W)``.

        Returns:
            tuple[Tensor, ...]: ``(B, cnn_channels[i], H / s, W / s)`` with the strides 4, 8, 16, 32,
            rounded up.
        """
        maps, others = [], self.ssm(self.stem(x))
        for i, (fuse, other) in enumerate(zip(self.fusions, others, strict=True)):
            x = self._run_stage(i, x)
            if x.shape[2:] != other.shape[2:]:
                raise OptionError(
                    f'RS3MambaBackbone: stage {i} has {x.shape[2]} × {x.shape[3]} px in cnn and '
                    f'{other.shape[2]} × {other.shape[3]} in ssm: their strides must be equal'
                )
            x = fuse(x, other)
            maps.append(x)
        return tuple(maps)

    def _run_stage(self, i: int, x: Tensor) -> Tensor:
        cnn = self.cnn
        if hasattr(cnn, 'run_stage'):
            return cnn.run_stage(i, x)
        if i == 0:
            x = cnn.stem(x) if cnn.deep_stem else cnn.relu(cnn.norm1(cnn.conv1(x)))
            x = cnn.maxpool(x)
        return cnn.get_submodule(cnn.res_layers[i])(x)
