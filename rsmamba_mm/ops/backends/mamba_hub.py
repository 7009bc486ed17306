"""The ``mamba_hub`` backend: the CUDA kernel of Mamba's authors, built ahead, from the Hugging Face Hub.

The package ``kernels`` loads it from a copy of ``kernels-community/mamba-ssm`` on this machine, in the
folder that ``RSMAMBA_MAMBA_HUB`` names. Nothing is ever downloaded, and ``auto`` never takes it: it runs
where it is asked for. Its version is pinned, for the operators' arguments may change with it.
"""

from __future__ import annotations

import importlib.util
import json
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from .mamba_kernel import Kernel, MambaKernel, failure, first_line, stamp
from .nvidia import no_device
from .torch_chunked import conv_backward, conv_forward

__all__ = [
    'chunk_length',
    'conv_backward',
    'conv_forward',
    'explain',
    'probe',
    'scan_backward',
    'scan_forward',
    'supports',
    'version',
]

VARIABLE = 'RSMAMBA_MAMBA_HUB'
REPOSITORY = 'kernels-community/mamba-ssm'
VERSION = 3  # branch v3 of the repository, and what metadata.json of each of its builds says
FETCH = f"import kernels; print(kernels.install_kernel('{REPOSITORY}', version={VERSION}))"
CURE = f'fetch one, python -c "{FETCH}", and name the folder that it prints in {VARIABLE}'


class Unfit(RuntimeError):
    """The copy is not one that can be loaded; the message says why and what to do."""


def _load() -> Kernel:
    operators = _operators()
    return Kernel(operators.selective_scan_fwd, operators.selective_scan_bwd)


_backend = MambaKernel('mamba_hub', _load)
chunk_length, supports = _backend.chunk_length, _backend.supports
scan_forward, scan_backward = _backend.scan_forward, _backend.scan_backward


def probe() -> str | None:
    """Why the ``mamba_hub`` backend cannot run, or None; its kernel is compared on first use."""
    if importlib.util.find_spec('kernels') is None:
        return "the package kernels is not installed: pip install 'kernels>=0.17'"
    try:
        _folder()
        if (reason := no_device()) is not None:
            return reason
        _operators()
    except Unfit as error:
        return str(error)
    except Exception as error:  # of the package kernels, or of what the copy imports
        return f'the kernel in {os.environ[VARIABLE]} cannot be loaded ({first_line(error)}): {CURE}'
    return None


def explain(error: Exception) -> str:
    """Why the kernel failed in its comparison with ``torch``, and what mends it."""
    return f'{failure(error)}: fetch its copy again, or use mamba_ssm or triton. The copy: {_folder()}'


def version() -> str:
    """Which build of the kernel it is: by all its files, of which the compiled one is the kernel."""
    files = sorted(file for file in _folder().rglob('*') if file.is_file() and file.suffix != '.pyc')
    return ' '.join(map(stamp, files))


def _folder() -> Path:
    """The folder of the copy.

    Raises:
        Unfit: If none is named, or it holds no build, one of another version, or one that needs other
            kernels, which would be downloaded.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise Unfit(f'no local copy of {REPOSITORY} is named in {VARIABLE}, and none is downloaded: {CURE}')
    folder = Path(named)
    files = [file for place in ('.', '*', 'build/*') for file in folder.glob(f'{place}/metadata.json')]
    if not files:
        raise Unfit(
            f'{VARIABLE} names {folder}, which holds no build of a kernel (no metadata.json there nor in '
            f'build/*): {CURE}'
        )
    for file in files:
        _check(file)
    return folder


def _check(file: Path) -> None:
    """Refuse a build that is not what is asked for."""
    try:
        metadata = json.loads(file.read_text(encoding='utf-8'))
        found, needed = metadata.get('version'), metadata.get('kernel-depends')
    except (OSError, ValueError, AttributeError) as error:
        raise Unfit(f'{file} cannot be read ({first_line(error)}): {CURE}') from None
    if found != VERSION:
        raise Unfit(
            f'{file} is of version {found} of the kernel, and this package knows version {VERSION}: {CURE}'
        )
    if needed:
        raise Unfit(
            f'{file} needs other kernels, which would be downloaded: {needed}. Use mamba_ssm or triton'
        )


@cache
def _operators() -> ModuleType:
    """The operators of the kernel's library."""
    import kernels  # pyright: ignore[reportMissingImports] - where it is installed

    loaded = kernels.get_local_kernel(_folder())
    return import_module(f'{loaded.__name__}._ops').ops
