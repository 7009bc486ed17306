"""Whether the ``triton`` backend runs here; apart from what it launches, for that imports Triton."""

from __future__ import annotations

import os

import torch

from ..nvidia import dotted, no_device

# the variable is Triton's own: its kernels then run on the CPU, step by step in Python
INTERPRETED = os.environ.get('TRITON_INTERPRET', '0').lower() in ('1', 'true', 'yes', 'on', 'y')

OLDEST_TRITON = (3, 3)
OLDEST_CAPABILITY = (7, 5)


def probe(interpreted: bool = INTERPRETED) -> str | None:
    """Why it cannot run, or None; interpreted it needs no GPU."""
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
    reason = no_device()
    if reason is not None:
        return reason
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST_CAPABILITY:
        return (
            f'{torch.cuda.get_device_name()} has compute capability {dotted(capability)}, and Triton '
            f"needs {dotted(OLDEST_CAPABILITY)}: use_backend('torch') runs on it"
        )
    return None
