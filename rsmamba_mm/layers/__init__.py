"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .embed import resize_position_embedding, sincos_position_embedding
from .mamba import MultiPathMamba
from .ss2d import SS2D, Mlp, VSSBlock

__all__ = [
    'SS2D',
    'Mlp',
    'MultiPathMamba',
    'VSSBlock',
    'resize_position_embedding',
    'sincos_position_embedding',
]
