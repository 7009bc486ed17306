"""Self-supervised pre-training; needs mmpretrain."""

from .preprocessor import BandsDataPreprocessor
from .roma import RoMA
from .roma_decoder import RoMADecoder
from .roma_head import RoMAHead

__all__ = ['BandsDataPreprocessor', 'RoMA', 'RoMADecoder', 'RoMAHead']
