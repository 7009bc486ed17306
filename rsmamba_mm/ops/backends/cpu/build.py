"""Finds or compiles the library of the native CPU backend.

On x86-64 it holds the code for several sets of instructions, of which :func:`instructions` chooses when it
is loaded; so one library serves all processors, and a wheel may bring it (:func:`compile_portable`). Where
none came, it is compiled with the system's C++ compiler and cached, by source, compiler flags and PyTorch
version: on first use, or ahead of it by ``python -m rsmamba_mm.ops.build``. It uses no PyTorch header (so
it compiles in seconds and has no ABI to match), only PyTorch's OpenMP runtime.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from ....processor import processor, processor_name
from ..cache import CACHE_VARIABLE, cache_folder

SOURCES = Path(__file__).parent / 'csrc'
PORTABLE = Path(__file__).parent / 'lib'
# Apple's clang takes OpenMP by this name alone
OPENMP = ('-Xclang', '-fopenmp') if sys.platform == 'darwin' else ('-fopenmp',)
FLAGS = ('-std=c++17', '-O3', '-fPIC', *OPENMP, '-fno-math-errno', '-fno-trapping-math')
X86 = platform.machine() in ('x86_64', 'AMD64')
# Sets of instructions that the library is compiled for, by PyTorch's names of a processor's capability in
# lower case; the last one is for all others.
INSTRUCTIONS: dict[str, tuple[str, ...]] = (
    {
        'avx512': ('-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mfma'),
        'avx2': ('-mavx2', '-mfma'),
        'sse2': (),
    }
    if X86
    else {'native': ('-mcpu=native' if platform.machine() in ('aarch64', 'arm64') else '-march=native',)}
)


class BuildError(RuntimeError):
    """The native backend cannot be compiled here; the message says why and what to do."""


def compiler() -> str | None:
    """The C++ compiler: ``$CXX``, else the first of g++, clang++ and c++ that is there."""
    candidates = [os.environ.get('CXX'), 'g++', 'clang++', 'c++']
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


@cache
def library() -> Path:
    """The library: the one that came with the package, else from the cache or compiled now.

    Safe when several processes start at once: one compiles, the others wait.

    Raises:
        BuildError: If there is no compiler, it fails, or the cache folder cannot be written.
    """
    return portable_library() or _compiled_library()


def instructions() -> str:
    """Which of :data:`INSTRUCTIONS` to use: those that PyTorch does (``ATEN_CPU_CAPABILITY`` overrides)."""
    capability = torch.backends.cpu.get_cpu_capability().lower()
    return capability if capability in INSTRUCTIONS else list(INSTRUCTIONS)[-1]


def portable_library() -> Path | None:
    """The library that came with the package, if it was made from these sources."""
    return path if X86 and (path := _portable_path()).exists() else None


def compile_portable() -> Path:
    """Compile the library into the package, for a wheel to carry.

    Raises:
        BuildError: If there is no compiler, it fails, or this is not x86-64.
    """
    if not X86:
        raise BuildError(f'libraries to ship are for x86-64, this machine is {platform.machine()}')
    cxx = _needed_compiler()
    shutil.rmtree(PORTABLE, ignore_errors=True)  # one of other sources
    PORTABLE.mkdir()
    target = _portable_path()
    _compile(cxx, target)
    return target


def _portable_path() -> Path:
    return PORTABLE / f'scan_cpu_{_digest()}.so'


def _compiled_library() -> Path:
    cxx = _needed_compiler()
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


def _needed_compiler() -> str:
    if sys.platform == 'win32':
        raise BuildError(
            'it is not compiled on Windows: the backend `torch` serves there; under WSL this one does too'
        )
    cxx = compiler()
    if cxx is None:
        raise BuildError(
            'no C++ compiler was found (g++ or clang++, or the one that CXX names): install one, on '
            'Debian and Ubuntu with apt-get install g++'
        )
    return cxx


def _fingerprint(cxx: str) -> str:
    """What the compiled library depends on."""
    told = []
    if not X86:  # compiled for the processor alone
        told = [processor_name(), *(processor().get(key, '') for key in ('cpu part', 'features'))]
    return _digest(torch.__version__, torch.__file__, platform.machine(), *told, cxx)


def _digest(*parts: str) -> str:
    """Of sources and flags, and of what else a library depends on."""
    flags = [' '.join(each) for each in INSTRUCTIONS.values()]
    return hashlib.sha256('\0'.join([*FLAGS, *flags, *parts, *_sources()]).encode()).hexdigest()[:16]


def _sources() -> list[str]:
    return [path.read_text(encoding='utf-8') for path in sorted(SOURCES.iterdir()) if path.is_file()]


def _compile(cxx: str, target: Path) -> None:
    """Compile to a temporary file and move it to its place, so that no half-written one is seen."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        result = Path(folder, target.name)

        def compile_for(name: str) -> str:
            compiled = f'{folder}/{name}.o'
            source = ['-c', str(SOURCES / 'scan_cpu.cpp'), '-o', compiled]
            _call([cxx, *FLAGS, *INSTRUCTIONS[name], f'-DINSTRUCTIONS={name}', *source])
            return compiled

        with ThreadPoolExecutor() as pool:
            objects = list(pool.map(compile_for, INSTRUCTIONS))
        # without -fopenmp here: OpenMP's symbols come from the runtime that PyTorch brings, so that
        # both share one pool of threads
        torch_lib = Path(torch.__file__).parent / 'lib'
        runtime = [str(path) for path in torch_lib.glob('lib*omp*.dylib')]  # on macOS to be named itself
        where = [f'-L{torch_lib}', *([f'-Wl,-rpath,{torch_lib}'] if runtime else [])]
        _call([cxx, '-shared', *objects, '-o', str(result), *where, '-ltorch_cpu', *runtime])
        os.replace(result, target)


def _call(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise BuildError(
            f'{command[0]} failed:\n  ' + '\n  '.join(lines[:12]) + f'\nThe command: {" ".join(command)}'
        )
