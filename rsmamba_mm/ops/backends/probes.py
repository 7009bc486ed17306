"""Whether the backends of NVIDIA GPUs run here; if not, why, and the command that mends it."""

from __future__ import annotations

import importlib.util

import torch

OLDEST_TRITON = (3, 3)
OLDEST_CAPABILITY = (7, 5)

BUILD = (
    'MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE '
    'pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps mamba-ssm'
)


def triton(interpreted: bool = False) -> str | None:
    """Why the ``triton`` backend cannot run, or None; interpreted it needs no GPU."""
    try:
        from triton import __version__ as version
    except ImportError as error:
        return (
            f'Triton cannot be imported ({error}): it comes with the CUDA builds of PyTorch for Linux '
            '(https://pytorch.org/get-started/locally), or pip install triton'
        )
    if tuple(map(int, version.split('.')[:2])) < OLDEST_TRITON:
        return (
            f'Triton {version} is too old, {OLDEST_TRITON[0]}.{OLDEST_TRITON[1]} is needed: it comes with '
            "PyTorch 2.7, pip install --upgrade 'torch>=2.7'"
        )
    if interpreted:
        return None
    reason = _no_device()
    if reason is not None:
        return reason
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST_CAPABILITY:
        return (
            f'{torch.cuda.get_device_name()} has compute capability {_dotted(capability)}, and Triton '
            f"needs {_dotted(OLDEST_CAPABILITY)}: use_backend('torch') runs on it"
        )
    return None


def mamba_ssm() -> str | None:
    """Why the ``mamba_ssm`` backend cannot run, or None; runs its kernel once."""
    try:
        import selective_scan_cuda  # pyright: ignore[reportMissingImports] - where it was built
    except ImportError as error:
        return _import_failure(error)
    reason = _no_device()
    if reason is not None:
        return reason
    try:
        x = torch.ones(1, 1, 2, device='cuda')
        states = torch.ones(1, 1, 1, 2, device='cuda')
        A = -torch.ones(1, 1, device='cuda')
        y = selective_scan_cuda.fwd(x, x, A, states, states, None, None, None, False)[0]
        torch.testing.assert_close(y.flatten().cpu(), torch.tensor([1.0, 1.0 + 0.36787944]))
    except TypeError as error:
        return f'its kernel takes other arguments than those of mamba-ssm 2 ({_first(error)}): {_rebuild()}'
    except RuntimeError as error:
        if 'no kernel image' in str(error):
            return (
                f'its kernel was built for other GPUs than {torch.cuda.get_device_name()} (no kernel image '
                f'for it): {_rebuild()}'
            )
        return f'its kernel fails when run ({_first(error)}): {_rebuild()}'
    except AssertionError as error:
        return f'its kernel gives wrong results ({_first(error)}): {_rebuild()}'
    return None


def _import_failure(error: ImportError) -> str:
    if 'undefined symbol' in str(error):
        return (
            f'its kernel was built against another PyTorch than the {torch.__version__} here (undefined '
            f'symbol): {_rebuild()}'
        )
    if not isinstance(error, ModuleNotFoundError) or error.name != 'selective_scan_cuda':
        return f'its kernel cannot be loaded ({_first(error)}): {_rebuild()}'
    if importlib.util.find_spec('mamba_ssm') is None:
        return f'the package mamba-ssm is not installed. With a CUDA compiler: {BUILD}'
    return (
        'mamba-ssm is installed without its Mamba-1 kernel (selective_scan_cuda), which it has left out '
        f'of its builds by default since mid-2026. With a CUDA compiler: {BUILD}'
    )


def _rebuild() -> str:
    """The command, for the GPU that is there."""
    if not torch.cuda.is_available():
        return f'build it again, {BUILD}'
    return f'build it again, TORCH_CUDA_ARCH_LIST={_dotted(torch.cuda.get_device_capability())} {BUILD}'


def _no_device() -> str | None:
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return (
            f'PyTorch {torch.__version__} is built without CUDA: install a CUDA build, '
            'https://pytorch.org/get-started/locally'
        )
    return (
        'PyTorch finds no NVIDIA GPU: nvidia-smi says whether the driver does, and the variable '
        'CUDA_VISIBLE_DEVICES may hide it'
    )


def _dotted(version: tuple[int, int]) -> str:
    return '.'.join(map(str, version))


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
