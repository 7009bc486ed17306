"""The native backend with and without a compiler, each case in a process with a cache of its own."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from rsmamba_mm.ops.backends.cpu import build
from rsmamba_mm.ops.build import compiler

needs_compiler = pytest.mark.skipif(compiler() is None, reason='no C++ compiler here')


def start(cache, *command, path=None, **environment):
    env = {**os.environ, 'RSMAMBA_CACHE_DIR': str(cache), **environment}
    env.pop('CXX', None) if 'CXX' not in environment else None
    if path is not None:
        env['PATH'] = str(path)
    return subprocess.Popen(
        [sys.executable, *command], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate()
    return process.returncode, out, err


@needs_compiler
@pytest.mark.slow
def test_several_processes_build_once_and_report(tmp_path):
    processes = [start(tmp_path, '-m', 'rsmamba_mm.ops.build') for _ in range(2)]
    results = [finish(process) for process in processes]
    assert [code for code, _, _ in results] == [0, 0], results
    (library,) = tmp_path.glob('*.so')
    assert {out.strip() for _, out, _ in results} == {str(library)}
    code, out, err = finish(start(tmp_path, '-m', 'rsmamba_mm.ops'))
    assert code == 0, err
    assert "cpu: 'cpu' serves" in out
    assert out.count('yes, right to') == 2 and 'yes, the formula itself' in out


@pytest.mark.slow
def test_report_without_a_compiler(tmp_path):
    code, out, err = finish(start(tmp_path, '-m', 'rsmamba_mm.ops', path=tmp_path))
    assert code == 0, err
    assert "cpu: 'torch' serves" in out
    assert 'no: no C++ compiler was found' in out
    # one line says what was lost, and what to do
    (line,) = [line for line in err.splitlines() if 'would be faster' in line]
    assert "scan backend 'cpu' would be faster but cannot run: no C++ compiler was found" in line
    assert 'apt-get install g++' in line


@pytest.mark.slow
def test_forced_without_a_compiler_is_refused(tmp_path):
    code = 'import torch, rsmamba_mm.ops as ops; ops.resolve_backend(torch.device("cpu"))'
    process = start(tmp_path, '-c', code, path=tmp_path, RSMAMBA_SCAN_BACKEND='cpu')
    returncode, _, err = finish(process)
    assert returncode != 0
    assert "scan backend 'cpu' was asked for but cannot run: no C++ compiler was found" in err


@pytest.mark.slow
def test_failing_compiler_is_quoted(tmp_path):
    broken = tmp_path / 'broken-c++'
    broken.write_text('#!/bin/sh\necho "internal compiler error: out of coffee" >&2\nexit 1\n')
    broken.chmod(0o755)
    process = start(tmp_path / 'cache', '-m', 'rsmamba_mm.ops.build', CXX=str(broken))
    code, _, err = finish(process)
    assert code != 0
    assert 'The native CPU backend was not built' in err and 'out of coffee' in err


@pytest.mark.slow
@needs_compiler
def test_unusable_cache_folder_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    process = start(tmp_path / 'file' / 'cache', '-m', 'rsmamba_mm.ops.build')
    code, _, err = finish(process)
    assert code != 0
    assert 'cannot be used' in err and 'RSMAMBA_CACHE_DIR' in err


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """The library as a wheel brings it."""
    monkeypatch.setattr(build, 'PORTABLE', tmp_path)
    monkeypatch.setattr(build, 'X86', True)
    build._portable_path().touch()
    return build._portable_path()


def test_library_of_other_sources_or_another_machine_is_left(shipped, monkeypatch):
    assert build.portable_library() == shipped
    with monkeypatch.context() as patch:
        patch.setattr(build, '_sources', lambda: ['changed'])
        assert build.portable_library() is None
    assert build.portable_library() == shipped
    monkeypatch.setattr(build, 'X86', False)
    monkeypatch.setattr(build.platform, 'machine', lambda: 'aarch64')
    assert build.portable_library() is None
    with pytest.raises(build.BuildError, match='for x86-64, this machine is aarch64'):
        build.compile_portable()


@pytest.mark.skipif(not build.X86, reason='elsewhere there is one set of instructions')
@pytest.mark.parametrize(
    ('capability', 'name'), [('AVX512', 'avx512'), ('AVX2', 'avx2'), ('DEFAULT', 'sse2')]
)
def test_instructions_are_those_that_pytorch_uses(capability, name, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
    assert build.instructions() == name


@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(not build.X86, reason='libraries to ship are for x86-64')
def test_no_compiler_is_needed_with_the_library_of_a_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(build, 'PORTABLE', tmp_path / 'lib')
    library = build.compile_portable()
    assert build.portable_library() == library
    if shutil.which('nm'):
        # a function that the linker shared between sets of instructions would be of one that may be absent
        symbols = subprocess.run(['nm', str(library)], capture_output=True, text=True, check=True).stdout
        shared = [line for line in symbols.splitlines() if f' {line.split()[-2]} ' in (' W ', ' u ')]
        assert not shared
    code = (
        'import sys, runpy; from pathlib import Path; import rsmamba_mm.ops.backends.cpu.build as build;'
        f'build.PORTABLE = Path({str(tmp_path / "lib")!r});'
        'runpy.run_module("rsmamba_mm.ops", run_name="__main__")'
    )
    returncode, out, err = finish(start(tmp_path / 'cache', '-c', code, path=tmp_path))
    assert returncode == 0, err
    assert "cpu: 'cpu' serves" in out and not (tmp_path / 'cache').is_dir()
