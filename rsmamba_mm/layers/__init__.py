"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .block_orders import any_random, block_orders, known_orders
from .embed import resize_position_embedding, sincos_position_embedding
from .mamba import MultiPathMamba
from .ss2d import DIRECTIONS, SS2D, Mlp, VSSBlock

__all__ = [
    'DIRECTIONS',
    'SS2D',
    'Mlp',
    'MultiPathMamba',
    'VSSBlock',
    'any_random',
    'block_orders',
    'known_orders',
    'resize_position_embedding',
    'sincos_position_embedding',
]
