"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .embed import resize_position_embedding, sincos_position_embedding
from .mamba import MultiPathMamba

__all__ = ['MultiPathMamba', 'resize_position_embedding', 'sincos_position_embedding']
