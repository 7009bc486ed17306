"""Backends of the scan, the causal convolution and the gate, and the choice among them.

What a backend is: :mod:`.contract`. Which there are and which serves: :mod:`.registry`.
"""

from . import probes
from .contract import ScanGradients, ScanInputs
from .registry import (
    AUTO,
    BACKENDS,
    ENVIRONMENT_VARIABLE,
    Backend,
    available_backends,
    load_backend,
    obstacle,
    offers,
    register_backend,
    resolve_backend,
    use_backend,
)

__all__ = [
    'AUTO',
    'BACKENDS',
    'ENVIRONMENT_VARIABLE',
    'Backend',
    'ScanGradients',
    'ScanInputs',
    'available_backends',
    'load_backend',
    'obstacle',
    'offers',
    'probes',
    'register_backend',
    'resolve_backend',
    'use_backend',
]
