"""Segmentors of mmseg: import needs mmsegmentation."""

from .d4_tta import D4SegTTAModel
from .smooth_encoder_decoder import SmoothEncoderDecoder

__all__ = ['D4SegTTAModel', 'SmoothEncoderDecoder']
