"""Finds or compiles the library of the native CPU backend.

A wheel may bring libraries, each for one kind of processor (:func:`compile_portable`). Where none fits,
the library is compiled for this machine's processor with the system's C++ compiler and cached, by source,
compiler flags, PyTorch version and processor: on first use, or ahead of it by
``python -m rsmamba_mm.ops.build``. It uses no PyTorch header (so it compiles in seconds and has no ABI to
match), only PyTorch's OpenMP runtime.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from ..cache import CACHE_VARIABLE, cache_folder

SOURCES = Path(__file__).parent / 'csrc'
PORTABLE = Path(__file__).parent / 'lib'
FLAGS = ('-std=c++17', '-O3', '-fPIC', '-fopenmp', '-fno-math-errno', '-fno-trapping-math')
# What PyTorch calls a processor's capability -> what is compiled for it; the best comes first.
PORTABLE_FLAGS = {
    'AVX512': ('-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mfma'),
    'AVX2': ('-mavx2', '-mfma'),
}


class BuildError(RuntimeError):
    """The native backend cannot be compiled here; the message says why and what to do."""


def compiler() -> str | None:
    """The C++ compiler: ``$CXX``, else the first of g++, clang++ and c++ that is there."""
    candidates = [os.environ.get('CXX'), 'g++', 'clang++', 'c++']
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


@cache
def library() -> Path:
    """The library: one that came with the package, else from the cache or compiled now.

    Safe when several processes start at once: one compiles, the others wait.

    Raises:
        BuildError: If there is no compiler, it fails, or the cache folder cannot be written.
    """
    return portable_library() or _compiled_library()


def portable_library() -> Path | None:
    """The library that came with the package for this processor, if one was made from these sources."""
    if platform.machine() not in ('x86_64', 'AMD64'):
        return None
    capabilities = list(PORTABLE_FLAGS)
    here = torch.backends.cpu.get_cpu_capability()
    fitting = capabilities[capabilities.index(here) :] if here in capabilities else []
    return next((path for each in fitting if (path := _portable_path(each)).exists()), None)


def compile_portable() -> list[Path]:
    """Compile a library for each of :data:`PORTABLE_FLAGS` into the package, for a wheel to carry.

    Raises:
        BuildError: If there is no compiler, it fails, or this is not x86-64.
    """
    if platform.machine() not in ('x86_64', 'AMD64'):
        raise BuildError(f'libraries to ship are for x86-64, this machine is {platform.machine()}')
    cxx = _needed_compiler()
    shutil.rmtree(PORTABLE, ignore_errors=True)  # those of other sources
    PORTABLE.mkdir()
    for capability, flags in PORTABLE_FLAGS.items():
        _compile(cxx, flags, _portable_path(capability))
    return sorted(PORTABLE.iterdir())


def _portable_path(capability: str) -> Path:
    digest = hashlib.sha256('\0'.join([*FLAGS, *PORTABLE_FLAGS[capability], *_sources()]).encode())
    return PORTABLE / f'scan_cpu_{capability.lower()}_{digest.hexdigest()[:16]}.so'


def _compiled_library() -> Path:
    cxx = _needed_compiler()
    target = cache_folder() / f'scan_cpu_{_fingerprint(cxx)}.so'
    if target.exists():
        return target
    native = '-mcpu=native' if platform.machine() in ('aarch64', 'arm64') else '-march=native'
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{target}.lock'):
            if not target.exists():
                _compile(cxx, (native,), target)
    except OSError as error:
        raise BuildError(
            f'the cache folder {target.parent} cannot be used ({error}): name another one in '
            f'{CACHE_VARIABLE}'
        ) from error
    return target


def _needed_compiler() -> str:
    cxx = compiler()
    if cxx is None:
        raise BuildError(
            'no C++ compiler was found (g++ or clang++, or the one that CXX names): install one, on '
            'Debian and Ubuntu with apt-get install g++'
        )
    return cxx


def _fingerprint(cxx: str) -> str:
    """What the compiled library depends on."""
    parts = [*FLAGS, torch.__version__, torch.__file__, platform.machine(), _processor(), cxx]
    return hashlib.sha256('\0'.join([*parts, *_sources()]).encode()).hexdigest()[:16]


def _sources() -> list[str]:
    return [path.read_text() for path in sorted(SOURCES.iterdir()) if path.is_file()]


def _processor() -> str:
    """Model and features of the processor, so that a shared home serves several machines."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    kept = [line for line in lines if line.startswith(('model name', 'flags', 'Features', 'CPU part'))]
    return '\n'.join(sorted(set(kept)))


def _compile(cxx: str, processor: tuple[str, ...], target: Path) -> None:
    """Compile to a temporary file and move it to its place, so that no half-written one is seen."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects, result = Path(folder, 'scan_cpu.o'), Path(folder, target.name)
        _call([cxx, *FLAGS, *processor, '-c', str(SOURCES / 'scan_cpu.cpp'), '-o', str(objects)])
        # without -fopenmp here: OpenMP's symbols come from the runtime that PyTorch brings, so that
        # both share one pool of threads
        torch_lib = Path(torch.__file__).parent / 'lib'
        _call([cxx, '-shared', str(objects), '-o', str(result), f'-L{torch_lib}', '-ltorch_cpu'])
        os.replace(result, target)


def _call(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise BuildError(
            f'{command[0]} failed:\n  ' + '\n  '.join(lines[:12]) + f'\nThe command: {" ".join(command)}'
        )
