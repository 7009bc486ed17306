"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .. import _openmmlab  # noqa: F401 - cures come first
from .channel_attention import ChannelSelfAttention, SharedChannelAttention
from .embed import TokenPositions, resize_position_embedding, sincos_position_embedding
from .linear_attention import LinearAttention, PositionAttention
from .mamba import MultiPathMamba
from .scan_orders import any_random, block_orders, known_orders
from .ss2d import DIRECTIONS, SS2D, Mlp, VSSBlock
from .tokens import ClassSlots

__all__ = [
    'DIRECTIONS',
    'SS2D',
    'ChannelSelfAttention',
    'ClassSlots',
    'LinearAttention',
    'Mlp',
    'MultiPathMamba',
    'PositionAttention',
    'SharedChannelAttention',
    'TokenPositions',
    'VSSBlock',
    'any_random',
    'block_orders',
    'known_orders',
    'resize_position_embedding',
    'sincos_position_embedding',
]
