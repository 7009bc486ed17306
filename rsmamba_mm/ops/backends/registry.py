"""The table of backends, and the choice among them.

``auto`` takes the available backend of highest priority for the device of the tensors.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from types import ModuleType

import torch

from . import probes

ENVIRONMENT_VARIABLE = 'RSMAMBA_SCAN_BACKEND'
AUTO = 'auto'


@dataclass(frozen=True)
class Backend:
    """An entry of the table of backends.

    Attributes:
        name (str): Its name.
        module (str): Dotted name of the module that implements it, imported on first use.
        devices (tuple[str] | None): Device types that it runs on; None for all.
        asked (tuple[str]): Those of them on which ``auto`` passes it over: it runs where asked for.
        priority (int): ``auto`` takes the highest that is available.
        probe (Callable[[], str | None]): Says why the backend cannot run here and what to do about
            it, or None if it can. Called at most once.
    """

    name: str
    module: str
    devices: tuple[str, ...] | None
    asked: tuple[str, ...]
    priority: int
    probe: Callable[[], str | None]


BACKENDS: dict[str, Backend] = {}


def register_backend(
    name: str,
    module: str,
    *,
    devices: tuple[str, ...] | None = None,
    asked: tuple[str, ...] = (),
    priority: int = 0,
    probe: Callable[[], str | None] = lambda: None,
) -> None:
    """Enter a backend into the table; see :class:`Backend` for the arguments."""
    BACKENDS[name] = Backend(name, module, devices, asked, priority, probe)
    obstacle.cache_clear()
    _automatic.cache_clear()


@cache
def obstacle(name: str, device_type: str) -> str | None:
    """Why a backend cannot run on a type of device, or None if it can."""
    backend = BACKENDS[name]
    if backend.devices is not None and device_type not in backend.devices:
        return f'it runs on {" and ".join(backend.devices)}, and the tensors are on {device_type}'
    return backend.probe()


def available_backends(device_type: str = 'cpu') -> list[str]:
    """Names of the backends that can run on a type of device."""
    return [name for name in BACKENDS if obstacle(name, device_type) is None]


@cache
def _automatic(device_type: str) -> str:
    """The backend that ``auto`` means on a type of device."""
    logger = logging.getLogger('rsmamba_mm')
    for backend in sorted(BACKENDS.values(), key=lambda backend: -backend.priority):
        if device_type in backend.asked:
            continue
        reason = obstacle(backend.name, device_type)
        if reason is None:
            logger.info("scan backend '%s' serves tensors on %s", backend.name, device_type)
            return backend.name
        if backend.devices is None or device_type in backend.devices:
            logger.warning("scan backend '%s' would be faster but cannot run: %s", backend.name, reason)
    raise RuntimeError(f'no scan backend runs on {device_type}')


def _checked(name: str, source: str) -> str:
    if name != AUTO and name not in BACKENDS:
        known = ', '.join([AUTO, *sorted(BACKENDS)])
        raise ValueError(f'{source}: unknown scan backend {name!r}. Known backends: {known}.')
    return name


class use_backend:
    """Force the backend of the scan and of the causal convolution.

    A plain call holds until the next one; as a context manager it ends with the block. The
    environment variable ``RSMAMBA_SCAN_BACKEND`` does the same for a whole process.

    Args:
        name (str): ``'auto'`` or the name of a backend.

    Raises:
        ValueError: If there is no such backend.

    Examples:
        >>> with use_backend('reference'):
        ...     y = selective_scan(u, delta, A, B, C)
    """

    _forced: str | None = None

    def __init__(self, name: str) -> None:
        self._previous = use_backend._forced
        use_backend._forced = _checked(name, 'use_backend')

    def __enter__(self) -> use_backend:
        return self

    def __exit__(self, *exc_info) -> None:
        use_backend._forced = self._previous


_FROM_ENVIRONMENT = os.environ.get(ENVIRONMENT_VARIABLE, AUTO)


def resolve_backend(device: torch.device) -> str:
    """The backend that serves tensors on a device: the forced one, else the best available.

    ``torch.compile`` takes the answer as a constant.

    Raises:
        ValueError: If the environment variable names no backend.
        RuntimeError: If the forced backend cannot run there; the message says why.
    """
    return _resolve(device.type)


@torch.compiler.assume_constant_result
def _resolve(device_type: str) -> str:
    name = use_backend._forced or _checked(_FROM_ENVIRONMENT, ENVIRONMENT_VARIABLE)
    if name == AUTO:
        return _automatic(device_type)
    reason = obstacle(name, device_type)
    if reason is not None:
        raise RuntimeError(
            f"scan backend '{name}' was asked for but cannot run: {reason}. "
            f"Use another with rsmamba_mm.ops.use_backend(name) or {ENVIRONMENT_VARIABLE}, or 'auto'."
        )
    return name


@torch.compiler.assume_constant_result
def offers(name: str, function: str) -> bool:
    """Whether a backend has one of the functions that not all have."""
    return hasattr(load_backend(name), function)


def load_backend(name: str) -> ModuleType:
    """The module that implements a backend."""
    return import_module(BACKENDS[name].module)


def _probe_cpu() -> str | None:
    from .cpu import probe

    return probe()


# the variable is Triton's own: its kernels then run on the CPU, step by step in Python
_INTERPRETED = os.environ.get('TRITON_INTERPRET', '0').lower() in ('1', 'true', 'yes', 'on', 'y')


register_backend('reference', 'rsmamba_mm.ops.backends.reference', priority=-10)
register_backend('torch', 'rsmamba_mm.ops.backends.torch_chunked', priority=0)
register_backend('cpu', 'rsmamba_mm.ops.backends.cpu', devices=('cpu',), priority=10, probe=_probe_cpu)
register_backend(
    'triton',
    'rsmamba_mm.ops.backends.triton',
    devices=('cuda', 'cpu') if _INTERPRETED else ('cuda',),
    asked=('cpu',),
    priority=30,
    probe=partial(probes.triton, interpreted=_INTERPRETED),
)
register_backend(
    'mamba_ssm', 'rsmamba_mm.ops.backends.mamba_ssm', devices=('cuda',), priority=20, probe=probes.mamba_ssm
)
