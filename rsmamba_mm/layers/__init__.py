"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .. import _openmmlab  # noqa: F401 - cures come first
from .bottleneck_vss import BottleneckVSSBlock, GatedSS2D
from .embed import TokenPositions, resize_position_embedding, sincos_position_embedding
from .gates import ChannelGate, SpatialGate
from .mamba import MultiPathMamba
from .msaa import MultiScaleAggregation
from .scan_orders import any_random, block_orders, known_orders
from .ss2d import DIRECTIONS, SS2D, Mlp, VSSBlock
from .tokens import ClassSlots

__all__ = [
    'DIRECTIONS',
    'SS2D',
    'BottleneckVSSBlock',
    'ChannelGate',
    'ClassSlots',
    'GatedSS2D',
    'Mlp',
    'MultiPathMamba',
    'MultiScaleAggregation',
    'SpatialGate',
    'TokenPositions',
    'VSSBlock',
    'any_random',
    'block_orders',
    'known_orders',
    'resize_position_embedding',
    'sincos_position_embedding',
]
