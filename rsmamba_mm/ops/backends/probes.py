"""The probes have moved to their backends; these names say where."""

import warnings

from .mamba_ssm import probe as _of_mamba_ssm
from .triton.probe import probe as _of_triton

_MOVED = {'triton': _of_triton, 'mamba_ssm': _of_mamba_ssm}


def __getattr__(name: str):
    if name not in _MOVED:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    probe = _MOVED[name]
    warnings.warn(
        f'{__name__}.{name} has moved to {probe.__module__}.probe', DeprecationWarning, stacklevel=2
    )
    return probe
