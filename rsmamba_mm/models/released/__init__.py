"""Checkpoints of released networks: read safely, verified, renamed; the way back where there is one."""

from .files import Converted, count_parameters, read_checkpoint, read_tensors, verify_tensors
from .rest import find_rest
from .systems import SYSTEMS, convert_released, model_of
from .unetmamba import mmseg_to_unetmamba, unetmamba_to_mmseg

__all__ = [
    'SYSTEMS',
    'Converted',
    'convert_released',
    'count_parameters',
    'find_rest',
    'mmseg_to_unetmamba',
    'model_of',
    'read_checkpoint',
    'read_tensors',
    'unetmamba_to_mmseg',
    'verify_tensors',
]
