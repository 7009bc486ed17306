"""What the backends of NVIDIA GPUs ask of a machine."""

from __future__ import annotations

from pathlib import Path

import torch


def no_device() -> str | None:
    """Why PyTorch has no NVIDIA GPU here and what mends it, or None if it has."""
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


def dotted(version: tuple[int, int]) -> str:
    return '.'.join(map(str, version))


def driver() -> str:
    """Version of the driver."""
    try:
        return Path('/proc/driver/nvidia/version').read_text(encoding='utf-8').splitlines()[0]
    except (OSError, IndexError):  # of what CUDA the driver is, elsewhere
        return str(torch._C._cuda_getDriverVersion())  # pyright: ignore[reportAttributeAccessIssue]
