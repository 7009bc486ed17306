from .mamba_seg_decoder import MambaSegDecoder

__all__ = ['MambaSegDecoder']
