"""The probes have moved to their backends; these names say where."""

import warnings

from . import mamba_ssm as _mamba_ssm
from .triton import probe as _triton

_MOVED = {'triton': _triton, 'mamba_ssm': _mamba_ssm}


def __getattr__(name: str):
    if name not in _MOVED:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = _MOVED[name]
    warnings.warn(
        f'{__name__}.{name} has moved to {module.__name__}.probe', DeprecationWarning, stacklevel=2
    )
    return module.probe
