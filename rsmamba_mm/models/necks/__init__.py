from .cmunet_decoder import CMUNetDecoder
from .dcfam import DCFAM
from .mamba_seg_decoder import MambaSegDecoder
from .unetformer_decoder import UNetFormerDecoder

__all__ = ['DCFAM', 'CMUNetDecoder', 'MambaSegDecoder', 'UNetFormerDecoder']
