"""The kernels have moved to :mod:`rsmamba_mm.ops.backends.triton`; the old names say where."""

import warnings

from .triton import conv, paths, scan, tile


def __getattr__(name: str):
    for module in (scan, conv, paths, tile):
        if name in vars(module) and not name.startswith('_'):
            warnings.warn(
                f'{__name__}.{name} has moved to {module.__name__}.{name}', DeprecationWarning, stacklevel=2
            )
            return getattr(module, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
