"""The table of backends, and the choice among them.

``auto`` takes the available backend of highest priority for the device of the tensors that supports what it
is asked for, and that was found right where kernels have to be compared first (:mod:`.verification`).
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
import torch.distributed as dist

from . import mamba_hub, mamba_ssm, verification
from .contract import ScanInputs
from .triton.probe import INTERPRETED
from .triton.probe import probe as _probe_triton

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
        checked (bool): Whether it is trusted only after a comparison with ``torch`` on its first use on a
            type of device (:mod:`.verification`). Defaults to False.
    """

    name: str
    module: str
    devices: tuple[str, ...] | None
    asked: tuple[str, ...]
    priority: int
    probe: Callable[[], str | None]
    checked: bool = False


BACKENDS: dict[str, Backend] = {}
_MODULES: dict[str, ModuleType] = {}  # those loaded

_OTHERS = f"Use another with rsmamba_mm.ops.use_backend(name) or {ENVIRONMENT_VARIABLE}, or 'auto'."


def register_backend(
    name: str,
    module: str,
    *,
    devices: tuple[str, ...] | None = None,
    asked: tuple[str, ...] = (),
    priority: int = 0,
    probe: Callable[[], str | None] = lambda: None,
    checked: bool = False,
) -> None:
    """Enter a backend into the table; see :class:`Backend` for the arguments."""
    BACKENDS[name] = Backend(name, module, devices, asked, priority, probe, checked)
    _MODULES.pop(name, None)
    verification.forget(name)
    for choice in (obstacle, _automatic, _inform, _warn):
        choice.cache_clear()


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
def _automatic(device_type: str, place: int) -> str | None:
    """The backend that ``auto`` asks first on a type of device, second and so on; None after the last."""
    for backend in sorted(BACKENDS.values(), key=lambda backend: -backend.priority):
        if device_type in backend.asked or verification.known_fault(backend.name, device_type):
            continue
        reason = obstacle(backend.name, device_type)
        if reason is None and place == 0:
            return backend.name
        if reason is None:
            place -= 1
        elif backend.devices is None or device_type in backend.devices:
            _warn("scan backend '%s' would be faster but cannot run: %s", backend.name, reason)
    return None


@cache
def _warn(message: str, *details: str) -> None:
    """Log a warning, once."""
    logging.getLogger('rsmamba_mm').warning(message, *details)


@cache
def _inform(name: str, device_type: str) -> None:
    logging.getLogger('rsmamba_mm').info("scan backend '%s' serves tensors on %s", name, device_type)


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


def resolve_backend(device: torch.device, scan: ScanInputs | None = None) -> str:
    """The backend that serves tensors on a device: the forced one, else the best available.

    Args:
        device (torch.device): Where the tensors are.
        scan (ScanInputs, optional): What it is to serve; None asks for the device alone. Defaults to None.

    Returns:
        str: Its name. ``torch.compile`` guards on what it depends on.

    Raises:
        ValueError: If the environment variable names no backend.
        RuntimeError: If the forced backend cannot run there, or not serve the scan; the message says why.
    """
    return choose(device, '') if scan is None else choose(device, 'supports', scan)


def choose(device: torch.device, question: str, *call) -> str:
    """As :func:`resolve_backend`, by what the backends answer to a question about a call.

    Args:
        device (torch.device): Where the tensors are.
        question (str): A function that backends may have, ``supports`` or ``supports_conv``.
        *call: Its arguments.
    """
    place, refused = 0, None
    while (name := _candidate(device.type, place)) is not None:
        reason = _refusal(name, question, *call)
        if reason is None:
            if refused is not None and not torch.compiler.is_compiling():
                _warn("scan backend '%s' would be faster but does not serve this: %s", *refused)
            return name
        place, refused = place + 1, refused or (name, reason)
    if refused is None:
        raise RuntimeError(f'no scan backend runs on {device.type}')
    raise RuntimeError(
        f"scan backend '{refused[0]}' was asked for but does not serve this: {refused[1]}. {_OTHERS}"
    )


@torch.compiler.assume_constant_result
def _candidate(device_type: str, place: int) -> str | None:
    """The forced backend, else the one that ``auto`` asks at this place; None after the last."""
    name = use_backend._forced or _checked(_FROM_ENVIRONMENT, ENVIRONMENT_VARIABLE)
    if name == AUTO:
        while (name := _automatic(device_type, place)) and (reason := _fault(name, device_type)):
            _pass_over(name, reason)
        if name is not None and place == 0:
            _inform(name, device_type)
    elif place:
        return None
    else:
        reason = obstacle(name, device_type) or _fault(name, device_type)
        if reason is not None:
            raise RuntimeError(f"scan backend '{name}' was asked for but cannot run: {reason}. {_OTHERS}")
    if name is not None:
        load_backend(name)
    return name


def _fault(name: str, device_type: str) -> str | None:
    """Why a backend is not to be trusted on a type of device, or None."""
    if not BACKENDS[name].checked:
        return None
    return verification.fault(name, device_type, partial(load_backend, name))


def _pass_over(name: str, reason: str) -> None:
    """Let ``auto`` go on without a backend that was found wrong, and say so.

    Raises:
        RuntimeError: In a group of processes, which all are to use the same: no other is asked, for that
            would be a collective call.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise RuntimeError(
            f"scan backend '{name}' is not trusted in rank {dist.get_rank()}: {reason}. Others may have "
            'found it right, and all ranks are to use the same: name one for all in '
            f'{ENVIRONMENT_VARIABLE}, such as torch'
        )
    _warn("scan backend '%s' is not trusted and another serves, which may be slower: %s", name, reason)
    _automatic.cache_clear()


def _refusal(name: str, question: str, *call) -> str | None:
    """Why a loaded backend does not serve a call, or None."""
    function = getattr(_MODULES[name], question, None) if question else None
    return None if function is None else function(*call)


def serving_backend(name: str, question: str, *call) -> ModuleType:
    """The module of the backend that was chosen for a call, of which the first argument has a device.

    Raises:
        RuntimeError: If it does not serve the call after all, or is not to be trusted.
    """
    module = load_backend(name)
    reason = _refusal(name, question, *call)
    if reason is not None:
        raise RuntimeError(f"scan backend '{name}' does not serve this: {reason}")
    # one that was chosen while a graph was traced may not have been compared then
    reason = _fault(name, call[0].device.type)
    if reason is not None:
        raise RuntimeError(
            f"scan backend '{name}' cannot be trusted: {reason}. A compiled graph that has chosen it is to "
            f'be compiled again, after torch.compiler.reset(). {_OTHERS}'
        )
    return module


@torch.compiler.assume_constant_result
def offers(name: str, function: str) -> bool:
    """Whether a backend has one of the functions that not all have."""
    return hasattr(load_backend(name), function)


def _probe_cpu() -> str | None:
    from .cpu import probe

    return probe()


def load_backend(name: str) -> ModuleType:
    """The module that implements a backend."""
    if name not in _MODULES:
        _MODULES[name] = import_module(BACKENDS[name].module)
    return _MODULES[name]


register_backend('reference', 'rsmamba_mm.ops.backends.reference', priority=-10)
register_backend('torch', 'rsmamba_mm.ops.backends.torch_chunked', priority=0)
register_backend('cpu', 'rsmamba_mm.ops.backends.cpu', devices=('cpu',), priority=10, probe=_probe_cpu)
register_backend(
    'triton',
    'rsmamba_mm.ops.backends.triton.launch',
    devices=('cuda', 'cpu') if INTERPRETED else ('cuda',),
    asked=('cpu',),
    priority=30,
    probe=_probe_triton,
    checked=not INTERPRETED,
)
register_backend(
    'mamba_ssm',
    'rsmamba_mm.ops.backends.mamba_ssm',
    devices=('cuda',),
    priority=20,
    probe=mamba_ssm.probe,
    checked=True,
)
register_backend(
    'mamba_hub',
    'rsmamba_mm.ops.backends.mamba_hub',
    devices=('cuda',),
    asked=('cuda',),
    priority=15,
    probe=mamba_hub.probe,
    checked=True,
)
