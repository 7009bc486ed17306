"""Self-supervised pre-training; needs mmpretrain."""

from .roma import RoMA
from .roma_decoder import RoMADecoder
from .roma_head import RoMAHead

__all__ = ['RoMA', 'RoMADecoder', 'RoMAHead']
