"""Maps of which each is half as large as the one before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

SCALES = (4, 2, 1, 0.5, 0.25)  # that mmseg knows


def build_pyramid(owner: str, in_channels: Sequence[int], scales: Sequence[float]) -> nn.Module:
    """mmseg's ``Feature2Pyramid``, which halves odd sizes as a backbone does: rounded up.

    Args:
        owner (str): The neck that it is built for, as the message calls it.
        in_channels (Sequence[int]): Channels of the maps, all equal.
        scales (Sequence[float]): What to bring each map to, such as ``(4, 2, 1, 0.5)``.

    Raises:
        ValueError: If there is not one known scale for each map, or the channels differ.
    """
    known = isinstance(scales, Sequence) and set(scales) <= set(SCALES)
    if not known or len(scales) != len(in_channels) or len(set(in_channels)) > 1:
        raise ValueError(
            f'{owner}: a pyramid has a scale for each map, of {", ".join(map(str, SCALES))}, and the maps '
            'have equal channels; got '
            f'pyramid={scales!r} for in_channels={list(in_channels)}'
        )
    pyramid_cfg = dict(type='mmseg.Feature2Pyramid', embed_dim=in_channels[0])
    pyramid = MODELS.build(dict(pyramid_cfg, rescales=list(scales), norm_cfg=dict(type='BN')))
    for pool in pyramid.modules():
        if isinstance(pool, nn.MaxPool2d):
            pool.ceil_mode = True
    return pyramid


def check_maps(owner: str, maps: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """Refuse the maps of a backbone that a neck is not built for.

    Args:
        owner (str): The neck, as the message calls it.
        maps (Sequence[Tensor]): ``(B, C_i, H_i, W_i)``.
        in_channels (Sequence[int]): The ``C_i`` that it is built for.

    Raises:
        ValueError: If there are not as many, or they have other channels.
    """
    if len(maps) != len(in_channels):
        raise ValueError(
            f'{owner}: {len(in_channels)} maps are expected, as in_channels says, got {len(maps)}: set the '
            "backbone's out_indices"
        )
    if (channels := [x.shape[1] for x in maps]) != list(in_channels):
        raise ValueError(
            f'{owner}: in_channels is {list(in_channels)}, but the maps have {channels} channels'
        )


def fitted(owner: str, x: Tensor, height: int, width: int) -> Tensor:
    """Twice a lower map, at the size of the one before it, of which it is the half.

    Most backbones halve odd sizes rounded up, and the last row or column is cut; some, such as ConvNeXt,
    round down, and it is repeated.

    Args:
        owner (str): The neck, as the message calls it.
        x (Tensor): ``(B, H, W, C)``, with each side as large as wanted, or larger or smaller by one.
        height (int): Wanted, in pixels.
        width (int): Likewise.

    Raises:
        ValueError: If the maps are of other sizes.
    """
    lacking = height - x.shape[1], width - x.shape[2]
    if max(map(abs, lacking)) > 1:
        raise ValueError(
            f'{owner}: each map is half as large as the one before it, but {height} × {width} px '
            f'are followed by {x.shape[1] // 2} × {x.shape[2] // 2}; for maps of one stride: pyramid'
        )
    if lacking[0] > 0:
        x = torch.cat([x, x[:, -1:]], dim=1)
    if lacking[1] > 0:
        x = torch.cat([x, x[:, :, -1:]], dim=2)
    return x[:, :height, :width]
