"""No kernel is trusted unseen: on its first use on a type of device it is compared with ``torch``.

Scan, convolution and gate of a few hundred tokens, forward and backward, against the ``torch`` backend in
float64 on the same device: under a second beside compilation. That one was found right is kept on disk, by
the device, its driver, PyTorch, the kernels' package and the sources of this one. A failure is not kept:
its cause may be gone in the next process.

Nothing is compared while a graph is traced, with fake tensors, or while a CUDA graph is captured. A trace
trusts what is on disk; without that it takes the backend unseen, the graph compares it when it first runs,
and stops if it is wrong. A capture without a comparison before it is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch._guards import detect_fake_mode

from . import nvidia
from .cache import CACHE_VARIABLE, cache_folder
from .judge import measure

REPORT = 'please report this, with what python -m rsmamba_mm.ops says'
# largest error relative to the largest entry of the exact tensor
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}

_FOUND: dict[
    tuple[str, str], str | None
] = {}  # by backend and type of device: the fault, or None for right
_LOCK = threading.Lock()


class WrongResult(AssertionError):
    """The results of a backend are not the exact ones."""


class NotChecked(RuntimeError):
    """A backend is unknown where it cannot be compared."""


def fault(name: str, device_type: str, load: Callable[[], ModuleType]) -> str | None:
    """Why a backend is not to be trusted on a type of device; None if it is right, or not yet compared.

    Args:
        name (str): Of the backend.
        device_type (str): Type of the device. The comparison is made on the current device of that type.
        load (Callable): Gives the module of the backend.

    Returns:
        str | None: What is wrong and what to do. The same in the whole process, once it is known.

    Raises:
        NotChecked: If nothing is known and a CUDA graph is being captured.
    """
    place = (name, device_type)
    if place not in _FOUND:
        with _LOCK:  # other threads wait for the verdict
            if place not in _FOUND:
                _settle(place, load)
    return _FOUND.get(place)


def known_fault(name: str, device_type: str) -> str | None:
    """The fault that was found in this process, if any."""
    return _FOUND.get((name, device_type))


def forget(name: str) -> None:
    """Compare a backend anew at its next use in this process."""
    for place in [place for place in _FOUND if place[0] == name]:
        del _FOUND[place]


def _settle(place: tuple[str, str], load: Callable[[], ModuleType]) -> None:
    """Find out about a backend, if it can be found out now."""
    name, device_type = place
    device = _current(device_type)
    module = None
    try:
        module = load()
        file = record(name, module, device)
        if not _holds(file):
            if _is_tracing():
                return
            if device.type == 'cuda' and torch.cuda.is_current_stream_capturing():
                raise NotChecked(
                    f"scan backend '{name}' was not compared with 'torch' on this device yet, which cannot "
                    'be done while a CUDA graph is captured: run the model once before'
                )
            _keep(file, verify(module, device))
        _FOUND[place] = None
    except (NotChecked, torch.OutOfMemoryError):
        raise  # nothing is said of the kernels
    except Exception as error:
        _FOUND[place] = f'on {_name_of(device)} {explain(module, error)}'


def verify(module: ModuleType, device: torch.device) -> dict[str, float]:
    """Compare a backend with ``torch`` in each precision.

    Args:
        module (ModuleType): Of the backend.
        device (torch.device): Where to compare.

    Returns:
        dict[str, float]: The largest relative error by precision.

    Raises:
        WrongResult: If one is not rounding.
    """
    worst = {}
    for dtype in (torch.float32, _half(device)):
        errors = measure(module, device, dtype)
        name = max(errors, key=lambda name: errors[name])
        if errors[name] > TOLERANCE[dtype]:
            raise WrongResult(f'{name} in {dtype} is off by {errors[name]:.1e} of its largest entry')
        worst[str(dtype)] = errors[name]
    return worst


def explain(module: ModuleType | None, error: Exception) -> str:
    """A failed comparison in words: those of the backend's own ``explain(error)``, where it knows more."""
    if module is not None and hasattr(module, 'explain'):
        return module.explain(error)
    if isinstance(error, WrongResult):
        return f'it gives wrong results ({error}): {REPORT}'
    first = (str(error).strip() or 'no message').splitlines()[0]
    return f'it fails ({type(error).__name__}: {first}): {REPORT}'


def _half(device: torch.device) -> torch.dtype:
    """The half precision that is likely used there: GPUs before Ampere have no bfloat16."""
    old = device.type == 'cuda' and torch.cuda.get_device_capability(device) < (8, 0)
    return torch.float16 if old else torch.bfloat16


def _current(device_type: str) -> torch.device:
    """The device that the caller's thread uses."""
    if device_type == 'cuda':
        return torch.device(device_type, torch.cuda.current_device())
    return torch.device(device_type)


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type


def _is_tracing() -> bool:
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or detect_fake_mode() is not None
        or torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None
    )


# on disk -----------------------------------------------------------------------------------------


def record(name: str, module: ModuleType, device: torch.device) -> Path:
    """The file that says that a backend was found right: named by all that the verdict depends on."""
    cuda = device.type == 'cuda'
    parts = [
        name,
        _name_of(device),
        *((nvidia.driver(), str(torch.cuda.get_device_capability(device))) if cuda else ()),
        torch.__version__,
        str(torch.version.cuda),
        getattr(module, 'version', str)(),
        str(getattr(module, '__file__', None)),
        _sources(),
    ]
    digest = hashlib.sha256('\0'.join(parts).encode()).hexdigest()
    return cache_folder() / f'right_{name}_{digest[:24]}.json'


@cache
def _sources() -> str:
    """This package's code, by its hash."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _holds(file: Path) -> bool:
    """Whether a record is there and whole."""
    try:
        return json.loads(file.read_text(encoding='utf-8'))['file'] == file.name
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _keep(file: Path, errors: dict[str, float]) -> None:
    """Write a record at once as a whole: other processes see all of it or nothing."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        with os.fdopen(handle, 'w') as opened:
            json.dump(dict(file=file.name, torch=torch.__version__, errors=errors), opened)
        os.replace(path, file)
    except OSError as error:
        logging.getLogger('rsmamba_mm').warning(
            'That a scan backend was found right could not be kept in %s (%s): every process compares it '
            'again. Name another folder in %s.', file.parent, error, CACHE_VARIABLE,
        )  # fmt: skip
