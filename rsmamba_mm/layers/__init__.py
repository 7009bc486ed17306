"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .. import _openmmlab  # noqa: F401 - cures come first
from .bottleneck_vss import BottleneckVSSBlock, GatedSS2D
from .channel_attention import ChannelSelfAttention, SharedChannelAttention
from .embed import TokenPositions, resize_position_embedding, sincos_position_embedding
from .gates import ChannelGate, SpatialGate
from .global_local import GlobalLocalAttention, GlobalLocalBlock
from .linear_attention import LinearAttention, PositionAttention
from .mamba import MultiPathMamba
from .msaa import MultiScaleAggregation
from .padding import pad_end, pad_to_multiple
from .scan_orders import any_random, block_orders, known_orders
from .ss2d import DIRECTIONS, SS2D, Mlp, VSSBlock
from .stem import ConvStem, LocalMix
from .swiglu import SwiGLU
from .tokens import ClassSlots
from .weighted_fusion import FeatureRefinement, WeightedFusion

__all__ = [
    'DIRECTIONS',
    'SS2D',
    'BottleneckVSSBlock',
    'ChannelGate',
    'ChannelSelfAttention',
    'ClassSlots',
    'ConvStem',
    'FeatureRefinement',
    'GatedSS2D',
    'GlobalLocalAttention',
    'GlobalLocalBlock',
    'LinearAttention',
    'LocalMix',
    'Mlp',
    'MultiPathMamba',
    'MultiScaleAggregation',
    'PositionAttention',
    'SharedChannelAttention',
    'SpatialGate',
    'SwiGLU',
    'TokenPositions',
    'VSSBlock',
    'WeightedFusion',
    'any_random',
    'block_orders',
    'known_orders',
    'pad_end',
    'pad_to_multiple',
    'resize_position_embedding',
    'sincos_position_embedding',
]
