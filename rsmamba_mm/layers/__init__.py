"""Building blocks on :mod:`rsmamba_mm.ops`."""

from .. import _openmmlab  # noqa: F401 - cures come first
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
