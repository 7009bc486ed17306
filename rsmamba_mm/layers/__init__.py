"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .. import _openmmlab  # noqa: F401 - cures come first
from .bottleneck_vss import BottleneckVSSBlock, GatedSS2D
from .channel_attention import ChannelSelfAttention, SharedChannelAttention
from .embed import TokenPositions, resize_position_embedding, sincos_position_embedding
from .gates import ChannelGate, SpatialGate
from .linear_attention import LinearAttention, PositionAttention
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
    'ChannelSelfAttention',
    'ClassSlots',
    'GatedSS2D',
    'LinearAttention',
    'Mlp',
    'MultiPathMamba',
    'MultiScaleAggregation',
    'PositionAttention',
    'SharedChannelAttention',
    'SpatialGate',
    'TokenPositions',
    'VSSBlock',
    'any_random',
    'block_orders',
    'known_orders',
    'resize_position_embedding',
    'sincos_position_embedding',
]
