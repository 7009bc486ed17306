"""The ``mamba_ssm`` backend: the CUDA kernel of Mamba's authors, where their package has it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import torch

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

# for the GPUs that mamba-ssm names itself: it reads no list of them from TORCH_CUDA_ARCH_LIST
BUILD = (
    'MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE '
    'pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps mamba-ssm'
)


def _extension() -> ModuleType:
    import selective_scan_cuda  # pyright: ignore[reportMissingImports] - where it was built

    return selective_scan_cuda


def _load() -> Kernel:
    extension = _extension()
    return Kernel(extension.fwd, extension.bwd)


_backend = MambaKernel('mamba_ssm', _load)
chunk_length, supports = _backend.chunk_length, _backend.supports
scan_forward, scan_backward = _backend.scan_forward, _backend.scan_backward


def probe() -> str | None:
    """Why the ``mamba_ssm`` backend cannot run, or None; its kernel is compared on first use."""
    try:
        _extension()
    except ImportError as error:
        return _import_failure(error)
    return no_device()


def explain(error: Exception) -> str:
    """Why the kernel failed in its comparison with ``torch``, and what mends it."""
    reason = failure(error)
    if 'no kernel image' not in reason:
        return f'{reason}: build it again, {BUILD}'
    kind = '.'.join(map(str, torch.cuda.get_device_capability()))
    return (
        f'{reason}: mamba-ssm names the GPUs that it is built for itself, so have it built for this one, '
        f'tools/build_peer.sh {kind} FOLDER, and pip install the wheel'
    )


def version() -> str:
    """Which build of the kernel it is."""
    return stamp(Path(str(_extension().__file__)))


def _import_failure(error: ImportError) -> str:
    if 'undefined symbol' in str(error):
        return (
            f'its kernel was built against another PyTorch than the {torch.__version__} here (undefined '
            f'symbol): build it again, {BUILD}'
        )
    if not isinstance(error, ModuleNotFoundError) or error.name != 'selective_scan_cuda':
        return f'its kernel cannot be loaded ({first_line(error)}): build it again, {BUILD}'
    if importlib.util.find_spec('mamba_ssm') is None:
        return f'the package mamba-ssm is not installed. With a CUDA compiler: {BUILD}'
    return (
        'mamba-ssm is installed without its Mamba-1 kernel (selective_scan_cuda), which it has left out '
        f'of its builds by default since mid-2026. With a CUDA compiler: {BUILD}'
    )
