"""Compiles the native CPU backend; ``python -m rsmamba_mm.ops.build`` does it ahead of the first use.

The library is compiled for this machine's processor with the system's C++ compiler and cached, by source,
compiler flags, PyTorch version and processor. It uses no PyTorch header (so it compiles in seconds and has
no ABI to match), only PyTorch's OpenMP runtime.
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
FLAGS = ('-std=c++17', '-O3', '-fPIC', '-fopenmp', '-fno-math-errno', '-fno-trapping-math')


class BuildError(RuntimeError):
    """The native backend cannot be compiled here; the message says why and what to do."""


def compiler() -> str | None:
    """The C++ compiler: ``$CXX``, else the first of g++, clang++ and c++ that is there."""
    candidates = [os.environ.get('CXX'), 'g++', 'clang++', 'c++']
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


@cache
def library() -> Path:
    """The compiled library, from the cache or compiled now.

    Safe when several processes start at once: one compiles, the others wait.

    Raises:
        BuildError: If there is no compiler, it fails, or the cache folder cannot be written.
    """
    cxx = compiler()
    if cxx is None:
        raise BuildError(
            'no C++ compiler was found (g++ or clang++, or the one that CXX names): install one, on '
            'Debian and Ubuntu with apt-get install g++'
        )
    target = cache_folder() / f'scan_cpu_{_fingerprint(cxx)}.so'
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{target}.lock'):
            if not target.exists():
                _compile(cxx, target)
    except OSError as error:
        raise BuildError(
            f'the cache folder {target.parent} cannot be used ({error}): name another one in '
            f'{CACHE_VARIABLE}'
        ) from error
    return target


def _fingerprint(cxx: str) -> str:
    """What the compiled library depends on."""
    parts = [*FLAGS, torch.__version__, torch.__file__, platform.machine(), _processor(), cxx]
    parts += [path.read_text() for path in sorted(SOURCES.iterdir()) if path.is_file()]
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Model and features of the processor, so that a shared home serves several machines."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    kept = [line for line in lines if line.startswith(('model name', 'flags', 'Features', 'CPU part'))]
    return '\n'.join(sorted(set(kept)))


def _compile(cxx: str, target: Path) -> None:
    """Compile to a temporary file and move it to its place, so that no half-written one is seen."""
    native = '-mcpu=native' if platform.machine() in ('aarch64', 'arm64') else '-march=native'
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects, result = Path(folder, 'scan_cpu.o'), Path(folder, target.name)
        _call([cxx, *FLAGS, native, '-c', str(SOURCES / 'scan_cpu.cpp'), '-o', str(objects)])
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
