"""The native backend under sanitizers, on random calls of its doors (``doors.cpp``):

    python tests/native/sanitize.py --cases 100000

AddressSanitizer and UndefinedBehaviorSanitizer watch every set of instructions that the library has and
this processor knows, g++'s code and, where there is one, clang's; ThreadSanitizer watches a fifth as many
cases, each on several threads. With a cross compiler and an emulator, UndefinedBehaviorSanitizer also
watches a tenth on an emulated ARM processor (NEON). Programs are kept in ``build/sanitize`` and made again
when a source changes.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

from rsmamba_mm.ops.backends.cpu.build import FLAGS, INSTRUCTIONS, SOURCES, BuildError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = ROOT / 'build' / 'sanitize'
# an error ends the program; -O1 and line numbers for a trace that can be read
COMMON = (
    '-O1',
    '-g',
    '-fno-omit-frame-pointer',
    '-fno-sanitize-recover=all',
    '-D_GLIBCXX_ASSERTIONS',
    '-w',
)
ADDRESS, THREAD = '-fsanitize=address,undefined', '-fsanitize=thread'
WATCHED = {ADDRESS: 'AddressSanitizer and UndefinedBehaviorSanitizer', THREAD: 'ThreadSanitizer'}
FOUND_NOTHING = {ADDRESS: 'nothing read or written out of bounds', THREAD: 'no race'}
UNDEFINED = '-fsanitize=undefined'
CROSS, EMULATOR = 'aarch64-linux-gnu-g++', ('qemu-aarch64', '-L', '/usr/aarch64-linux-gnu')
LESS_EMULATED = 10  # cases of ADDRESS for each one of NEON
LESS_THREADED = 5  # cases of ADDRESS for each one of THREAD
WRONG_PROCESSOR = 77

PLAIN = list(INSTRUCTIONS)[-1]  # what every processor has


def gcc() -> str | None:
    """g++, whose OpenMP ``omp_threads.h`` replaces."""
    return shutil.which('g++')


def clang() -> str | None:
    names = ['clang++', *(f'clang++-{version}' for version in range(25, 12, -1))]
    return next(filter(None, map(shutil.which, names)), None)


def builds(sanitizer: str) -> list[tuple[str, str, str]]:
    """Compiler, sanitizer and instructions of the programs."""
    if sanitizer == THREAD:
        return [(gcc(), THREAD, 'avx2' if 'avx2' in INSTRUCTIONS else PLAIN)]
    plain = [(clang(), ADDRESS, PLAIN)] if clang() and not lacks(clang(), ADDRESS) else []
    return [*((gcc(), ADDRESS, name) for name in INSTRUCTIONS), *plain]


@cache
def lacks(cxx: str | None, sanitizer: str) -> str | None:
    """Why nothing can be watched with a compiler here, or None."""
    if cxx is None:
        return 'no g++ here'
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    program = PROGRAMS / f'trial-{os.getpid()}'
    try:
        made = subprocess.run(
            [cxx, sanitizer, '-x', 'c++', '-', '-o', str(program)],
            input='int main() {}', capture_output=True, text=True,
        )  # fmt: skip
        ran = made if made.returncode else subprocess.run(command(program), capture_output=True, text=True)
    finally:
        program.unlink(missing_ok=True)
    if ran.returncode == 0:
        return None
    return f'{cxx} {sanitizer}: {(ran.stderr.strip() or "it does not run").splitlines()[0]}'


def command(program: Path) -> list[str]:
    """What starts a program: for another machine's an emulator, for ThreadSanitizer, which finds no room
    where addresses are random in many bits, a fixed layout."""
    if program.name.startswith('doors-neon'):
        return [*EMULATOR, str(program)]
    fixed = shutil.which('setarch')
    works = fixed and not subprocess.run([fixed, '-R', 'true'], capture_output=True).returncode
    return [fixed, '-R', str(program)] if works else [str(program)]


def flags_of(cxx: str, sanitizer: str, instructions: str) -> list[str]:
    flags = [flag for flag in FLAGS if flag not in ('-O3', '-fopenmp')]
    openmp = [] if 'clang' in Path(cxx).name else ['-fopenmp']
    chosen = [*INSTRUCTIONS.get(instructions, ()), f'-DINSTRUCTIONS={instructions}']
    return [*flags, *chosen, *COMMON, sanitizer, *openmp]


def program_of(cxx: str, sanitizer: str, instructions: str) -> Path:
    """Where a program is, or will be: named by what it is made of."""
    files = sorted(
        path for folder in (SOURCES, HERE) for path in folder.iterdir() if path.suffix in ('.cpp', '.h')
    )
    parts = [cxx, *flags_of(cxx, sanitizer, instructions), *(path.read_text() for path in files)]
    return PROGRAMS / f'doors-{instructions}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}'


def build(cxx: str, sanitizer: str, instructions: str) -> Path:
    """The program, compiled where it is not yet.

    Raises:
        BuildError: If the compiler fails.
    """
    program, flags = program_of(cxx, sanitizer, instructions), flags_of(cxx, sanitizer, instructions)
    if program.exists():
        return program
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    mine = f'{program}.{os.getpid()}'
    steps = (
        [cxx, '-std=c++17', '-O2', '-c', str(HERE / 'formulas.cpp'), '-o', f'{mine}.formulas.o'],
        [cxx, *flags, f'-I{SOURCES}', '-c', str(HERE / 'doors.cpp'), '-o', f'{mine}.doors.o'],
        # without -fopenmp: its threads are omp_threads.h's
        [cxx, sanitizer, '-pthread', f'{mine}.doors.o', f'{mine}.formulas.o', '-o', mine],
    )
    try:
        for step in steps:
            result = subprocess.run(step, capture_output=True, text=True)
            if result.returncode:
                raise BuildError(f'{" ".join(step)} failed:\n{result.stderr[:2000]}')
        os.replace(mine, program)
    finally:
        for suffix in ('', '.formulas.o', '.doors.o'):
            Path(mine + suffix).unlink(missing_ok=True)
    return program


def run(program: Path, first: int, count: int) -> int:
    """Run cases; how many, 0 where the processor does not know the instructions.

    Raises:
        AssertionError: If one is wrong; the message says which, and how to run it alone.
    """
    env = {**os.environ, 'TSAN_OPTIONS': 'halt_on_error=1', 'UBSAN_OPTIONS': 'print_stacktrace=1'}
    result = subprocess.run(
        [*command(program), str(first), str(count)],
        capture_output=True,
        text=True,
        errors='replace',
        env=env,
    )
    if result.returncode == WRONG_PROCESSOR:
        return 0
    if result.returncode:
        said = result.stderr[-6000:]
        raise AssertionError(f'{program} {first} {count} ended with {result.returncode}:\n{said}')
    return count


def share(first: int, count: int, programs: list[Path]) -> int:
    """Deal cases out to programs in equal parts, on two cores; how many were run."""
    programs = programs * 2 if len(programs) == 1 else programs
    edges = [first + count * i // len(programs) for i in range(len(programs) + 1)]
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(run, programs, edges, (b - a for a, b in pairwise(edges))))


def try_operators(first: int, last: int) -> None:
    """Blocks of ``test_doors.py`` on a library with AddressSanitizer, in a process of their own: what
    Python hands over lies in memory that is watched too.

    Raises:
        AssertionError: If something is found.
    """
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    wrapper = PROGRAMS / f'g++{ADDRESS}'  # a library is cached by the compiler's name
    wrapper.write_text(f'#!/bin/sh\nexec {gcc()} {ADDRESS} -fno-sanitize-recover=all -g "$@"\n')
    wrapper.chmod(0o755)
    paths = [str(ROOT), str(ROOT / 'tests' / 'test_ops'), os.environ.get('PYTHONPATH', '')]
    env = {
        **os.environ,
        'CXX': str(wrapper),
        'RSMAMBA_CACHE_DIR': str(PROGRAMS / 'cache'),
        'PYTHONPATH': os.pathsep.join(paths),
        'ASAN_OPTIONS': 'detect_leaks=0',  # Python's own
    }
    subprocess.run([sys.executable, '-m', 'rsmamba_mm.ops.build'], check=True, capture_output=True, env=env)
    files = [[gcc(), f'-print-file-name={name}'] for name in ('libasan.so', 'libstdc++.so')]
    env['LD_PRELOAD'] = ' '.join(subprocess.check_output(file, text=True).strip() for file in files)
    code = f'import test_doors\nfor seed in range({first}, {last}): test_doors.try_block(seed)'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
    if result.returncode:
        raise AssertionError(f'blocks {first} to {last - 1} of test_doors.py:\n{result.stderr[-6000:]}')


def try_neon(first: int, count: int) -> str:
    """Run cases on an emulated ARM processor; what came of it."""
    cxx = shutil.which(CROSS)
    if cxx is None or shutil.which(EMULATOR[0]) is None:
        return 'not tried: apt-get install g++-aarch64-linux-gnu qemu-user'
    done = share(first, count, [build(cxx, UNDEFINED, 'neon')])
    return f'{done:,} cases under UndefinedBehaviorSanitizer, emulated, nothing found'


def main() -> None:
    parser = argparse.ArgumentParser(description='Run the native backend under sanitizers.')
    parser.add_argument('--cases', type=int, default=100_000, help='how many (default: 100000)')
    parser.add_argument('--first', type=int, default=0, help='number of the first one (default: 0)')
    options = parser.parse_args()
    for sanitizer, name in WATCHED.items():
        missing = lacks(gcc(), sanitizer)
        if missing:
            sys.exit(f'{name} cannot watch here: {missing}. On Debian and Ubuntu: apt-get install g++')
        start = time.perf_counter()
        count = options.cases if sanitizer == ADDRESS else options.cases // LESS_THREADED
        try:
            with ThreadPoolExecutor(2) as pool:
                programs = list(pool.map(lambda each: build(*each), builds(sanitizer)))
            compiled = time.perf_counter() - start
            done = share(options.first, count, programs)
        except (BuildError, AssertionError) as error:
            sys.exit(str(error))
        seconds = time.perf_counter() - start
        print(f'{name}: {done:,} cases, nothing found, {seconds:.0f} s ({compiled:.0f} s to compile)')
    try:
        print(f'NEON: {try_neon(options.first, options.cases // LESS_EMULATED)}')
    except (BuildError, AssertionError) as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
