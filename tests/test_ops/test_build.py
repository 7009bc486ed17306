"""The native backend with and without a compiler, each case in a process with a cache of its own."""

import os
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
def portable(tmp_path, monkeypatch):
    """A folder of libraries as a wheel brings them, empty at first."""
    monkeypatch.setattr(build, 'PORTABLE', tmp_path / 'lib')
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: 'AVX512')
    monkeypatch.setattr(build.platform, 'machine', lambda: 'x86_64')
    (tmp_path / 'lib').mkdir()
    return tmp_path / 'lib'


def bring(capability):
    path = build._portable_path(capability)
    path.touch()
    return path


def test_best_library_of_the_wheel_for_the_processor(portable, monkeypatch):
    assert build.portable_library() is None
    older = bring('AVX2')
    assert build.portable_library() == older
    newer = bring('AVX512')
    assert build.portable_library() == newer
    for capability, library in (('AVX2', older), ('DEFAULT', None)):
        monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda c=capability: c)
        assert build.portable_library() == library


def test_library_of_other_sources_or_another_machine_is_left(portable, monkeypatch):
    library = bring('AVX512')
    with monkeypatch.context() as patch:
        patch.setattr(build, '_sources', lambda: ['changed'])
        assert build.portable_library() is None
    assert build.portable_library() == library
    monkeypatch.setattr(build.platform, 'machine', lambda: 'aarch64')
    assert build.portable_library() is None
    with pytest.raises(build.BuildError, match='for x86-64, this machine is aarch64'):
        build.compile_portable()


@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(build.platform.machine() != 'x86_64', reason='libraries to ship are for x86-64')
def test_no_compiler_is_needed_with_a_library_that_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(build, 'PORTABLE', tmp_path / 'lib')
    assert len(build.compile_portable()) == len(build.PORTABLE_FLAGS)
    if build.portable_library() is None:
        pytest.skip('this processor has no AVX2')
    code = (
        'import sys, runpy; from pathlib import Path; import rsmamba_mm.ops.backends.cpu.build as build;'
        f'build.PORTABLE = Path({str(tmp_path / "lib")!r});'
        'runpy.run_module("rsmamba_mm.ops", run_name="__main__")'
    )
    returncode, out, err = finish(start(tmp_path / 'cache', '-c', code, path=tmp_path))
    assert returncode == 0, err
    assert "cpu: 'cpu' serves" in out and not (tmp_path / 'cache').is_dir()
