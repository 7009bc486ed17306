from .cmunet_decoder import CMUNetDecoder
from .dcfam import DCFAM
from .mamba_seg_decoder import MambaSegDecoder

__all__ = ['DCFAM', 'CMUNetDecoder', 'MambaSegDecoder']
