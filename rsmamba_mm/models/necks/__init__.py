from .cmunet_decoder import CMUNetDecoder
from .mamba_seg_decoder import MambaSegDecoder

__all__ = ['CMUNetDecoder', 'MambaSegDecoder']
