"""The ``cpu`` backend: native C++, compiled on first use by :mod:`.build` and called by :mod:`.call`."""

from .call import (
    MAX_TAPS,
    chunk_length,
    conv_backward,
    conv_forward,
    merge_backward,
    merge_forward,
    pool_backward,
    pool_forward,
    probe,
    scan_backward,
    scan_forward,
    supports_conv,
)

__all__ = [
    'MAX_TAPS',
    'chunk_length',
    'conv_backward',
    'conv_forward',
    'merge_backward',
    'merge_forward',
    'pool_backward',
    'pool_forward',
    'probe',
    'scan_backward',
    'scan_forward',
    'supports_conv',
]
