"""Convolutions that come before a scan, for data too small to learn locality from."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from .options import check_integers, check_sizes, naming


class ConvStem(nn.Module):
    """Tokens of an image by a few small convolutions in place of large patches (Xiao et al., "Early
    convolutions help transformers see better", arXiv:2106.14881).

    Each stage halves the map by a convolution of 3 px and refines it by residual pairs of them; one of 1 px
    makes the tokens.

    Args:
        in_channels (int): Bands of the image.
        embed_dims (int): Channels of a token.
        widths (Sequence[int]): Channels of the stages; n of them give tokens every 2ⁿ px. Defaults to
            ``(32, 64, 128)``.
        depths (Sequence[int], optional): Residual pairs of each stage. Defaults to None: no pair.
        norm_cfg (dict): Normalisation. Defaults to ``dict(type='BN')``.
        act_cfg (dict): Activation. Defaults to ``dict(type='GELU')``.

    Raises:
        ValueError: If widths or depths are no such numbers, or the norm or the activation cannot be built.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        widths: Sequence[int] = (32, 64, 128),
        depths: Sequence[int] | None = None,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 - never written to
        act_cfg: dict = dict(type='GELU'),  # noqa: B006 - never written to
    ) -> None:
        super().__init__()
        check_sizes('ConvStem', in_channels=in_channels, embed_dims=embed_dims)
        check_integers('ConvStem', widths=widths)
        if depths is None:
            depths = [0] * len(widths)
        check_integers('ConvStem', least=0, length=len(widths), depths=depths)
        self.stride = 2 ** len(widths)
        settings: dict[str, Any] = dict(norm_cfg=norm_cfg, act_cfg=act_cfg, inplace=False)
        with naming('ConvStem: norm_cfg or act_cfg', settings):
            stages = []
            for before, width, depth in zip((in_channels, *widths), widths, depths, strict=False):
                halved = ConvModule(before, width, 3, stride=2, padding=1, **settings)
                stages.append(nn.Sequential(halved, *(_Residual(width, settings) for _ in range(depth))))
        self.stages = nn.Sequential(*stages)
        self.projection = nn.Conv2d(widths[-1], embed_dims, 1)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the token grid of an image."""
        return ceil(height / self.stride), ceil(width / self.stride)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Make tokens.

        Args:
            x (Tensor): ``(B, in_channels, H, W)``.

        Returns:
            tuple[Tensor, tuple[int, int]]: Tokens ``(B, L, embed_dims)``, row by row, and height and width
            of their grid.
        """
        x = self.projection(self.stages(x))
        return x.flatten(2).mT, (x.shape[2], x.shape[3])


class _Residual(nn.Module):
    """Two convolutions of 3 px around which their input is carried (He et al., arXiv:1512.03385)."""

    def __init__(self, width: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.first = ConvModule(width, width, 3, padding=1, **settings)
        self.second = ConvModule(width, width, 3, padding=1, **{**settings, 'act_cfg': None})

    def forward(self, x: Tensor) -> Tensor:
        return self.first.activate(x + self.second(self.first(x)))


class LocalMix(BaseModule):
    """A depthwise convolution of the tokens on their grid, added to them: neighbours and, by the padding,
    where a token stands (Chu et al., "Conditional positional encodings", arXiv:2102.10882). It starts near
    nothing.

    Args:
        dim (int): Channels of a token.
        kernel_size (int): Side of the convolution, odd.

    Raises:
        ValueError: If the kernel has no centre.
    """

    def __init__(self, dim: int, kernel_size: int = 3) -> None:
        # its own, for that of a backbone is meant for what embeds the image
        super().__init__(dict(type='TruncNormal', layer='Conv2d', std=0.02))
        check_sizes('LocalMix', dim=dim, kernel_size=kernel_size)
        if not kernel_size % 2:
            raise ValueError(f'LocalMix: kernel_size must be odd, got {kernel_size}')
        self.conv = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Mix patch tokens ``(B, L, dim)`` on their grid of height and width."""
        return x + self.conv(x.mT.unflatten(2, grid)).flatten(2).mT
