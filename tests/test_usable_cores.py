"""Threads as a container grants them, and how those of a training wait."""

import os
import subprocess
import sys

import pytest

from rsmamba_mm import threads


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(threads, '_affinity', lambda: 64)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    # what is set is taken back at the end
    monkeypatch.setattr(threads.os, 'environ', dict(os.environ))
    monkeypatch.delitem(sys.modules, 'torch', raising=False)


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups as files: their path -> text."""

    def write(own, **files):
        read = threads._read
        for name, text in files.items():
            path = tmp_path / name.replace('__', '/').replace('_max', '.max').replace('cpu_cfs', 'cpu.cfs')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(threads, 'CGROUPS', tmp_path)
        monkeypatch.setattr(
            threads, '_read', lambda path: own if path == '/proc/self/cgroup' else read(path)
        )

    return write


@pytest.mark.parametrize(
    ('own', 'files', 'cores'),
    [
        ('0::/', dict(cpu_max='max 100000\n'), 64),
        ('0::/', dict(cpu_max='100000 100000\n'), 1),
        ('0::/', dict(cpu_max='250000 100000\n'), 3),
        ('0::/a/b', dict(a__b__cpu_max='max 100000\n', a__cpu_max='200000 100000\n'), 2),
        ('0::/gone', {}, 64),
        ('4:cpu,cpuacct:/', dict(cpu__cpu_cfs_quota_us='50000', cpu__cpu_cfs_period_us='100000'), 1),
        ('4:cpu:/x', dict(cpu__x__cpu_cfs_quota_us='-1', cpu__x__cpu_cfs_period_us='100000'), 64),
        ('', {}, 64),
    ],
)
def test_share_of_a_container(own, files, cores, groups, many_cores):
    groups(own, **files)
    assert threads.usable_cores() == cores


def test_threads_of_a_small_container(groups, many_cores):
    groups('0::/', cpu_max='100000 100000\n')
    threads.limit_threads()
    assert threads.os.environ['OMP_NUM_THREADS'] == '1'


def test_what_the_environment_says_is_left(groups, many_cores):
    groups('0::/', cpu_max='100000 100000\n')
    threads.os.environ['OMP_NUM_THREADS'] = '8'
    threads.limit_threads()
    assert threads.os.environ['OMP_NUM_THREADS'] == '8'


def test_pytorch_that_is_there_already(groups, many_cores, monkeypatch):
    class Torch:
        threads = 64
        get_num_threads = classmethod(lambda cls: cls.threads)
        set_num_threads = classmethod(lambda cls, count: setattr(cls, 'threads', count))

    monkeypatch.setitem(sys.modules, 'torch', Torch)
    groups('0::/', cpu_max='200000 100000\n')
    threads.limit_threads()
    assert Torch.threads == 2


def run(code, **environment):
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith(('OMP', 'GOMP'))}
    command = [sys.executable, '-c', code]
    return subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True)


@pytest.mark.slow
def test_it_is_set_before_pytorch_is_there():
    ran = run(
        'import sys, rsmamba_mm.threads as t; assert "torch" not in sys.modules; t._share = lambda: 1.0; '
        't._affinity = lambda: 2; from rsmamba_mm import apis; import torch; print(torch.get_num_threads())'
    )
    assert ran.stdout.split()[-1:] == ['1'], ran.stderr


@pytest.mark.parametrize('given', [{}, {'OMP_WAIT_POLICY': 'ACTIVE'}, {'GOMP_SPINCOUNT': '9'}])
def test_threads_of_a_training_sleep_while_they_wait(given):
    ran = run(
        'import os, sys, rsmamba_mm._considerate_threads; assert "torch" not in sys.modules; '
        'print(*(os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")))',
        **given,
    )
    wanted = given or {'OMP_WAIT_POLICY': 'PASSIVE'}
    assert ran.stdout.split() == [str(wanted.get(name)) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')]


@pytest.mark.parametrize('tool', ['train', 'demo', 'reproduce'])
def test_tools_that_train_begin_with_it(tool, root):
    imports = [
        line for line in (root / 'tools' / f'{tool}.py').read_text().splitlines() if 'rsmamba_mm' in line
    ]
    assert next(line for line in imports if line.startswith(('import', 'from'))).startswith(
        'import rsmamba_mm._considerate_threads'
    )
