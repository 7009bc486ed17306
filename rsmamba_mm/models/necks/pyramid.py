"""A pyramid for backbones whose maps share one stride."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.registry import MODELS
from torch import nn


def build_pyramid(owner: str, in_channels: Sequence[int], scales: Sequence[float]) -> nn.Module:
    """mmseg's ``Feature2Pyramid``, which halves odd sizes as a backbone does: rounded up.

    Args:
        owner (str): The neck that it is built for, as the message calls it.
        in_channels (Sequence[int]): Channels of the maps, all equal.
        scales (Sequence[float]): What to bring each map to, such as ``(4, 2, 1, 0.5)``.

    Raises:
        ValueError: If there is not one scale for each map, or the channels differ.
    """
    if len(scales) != len(in_channels) or len(set(in_channels)) > 1:
        raise ValueError(
            f'{owner}: a pyramid has a scale for each map, and the maps have equal channels; got '
            f'pyramid={list(scales)} for in_channels={list(in_channels)}'
        )
    pyramid_cfg = dict(type='mmseg.Feature2Pyramid', embed_dim=in_channels[0])
    pyramid = MODELS.build(dict(pyramid_cfg, rescales=list(scales), norm_cfg=dict(type='BN')))
    for pool in pyramid.modules():
        if isinstance(pool, nn.MaxPool2d):
            pool.ceil_mode = True
    return pyramid
