"""Segmentors of mmseg: import needs mmsegmentation."""

from .smooth_encoder_decoder import SmoothEncoderDecoder

__all__ = ['SmoothEncoderDecoder']
