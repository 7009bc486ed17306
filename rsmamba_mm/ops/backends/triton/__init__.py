"""The ``triton`` backend: NVIDIA GPUs, nothing to compile by hand.

:mod:`.probe` says whether it runs here, :mod:`.launch` holds its functions; the kernels are in
:mod:`.scan`, :mod:`.conv` and :mod:`.paths`, and what these share in :mod:`.tile`.
"""

from importlib import import_module

_SUBMODULES = ('conv', 'launch', 'paths', 'probe', 'scan', 'tile')


def __getattr__(name: str):
    # not imported above: the launches import Triton, which not every machine has
    if name.startswith('_') or name in _SUBMODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module('.launch', __name__), name)
