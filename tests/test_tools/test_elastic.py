"""Jobs of two processes, and of two machines, one of which has a bad day; by ``make reliability``."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import ranks
import torch

CONFIG = 'configs/rsmamba/rsmamba-t_synthetic-128px.py'
# kills or stops its process once, in the second of the job's two ranks
FAULT = """
import os
import signal
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Fault(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        mark = Path(runner.work_dir) / 'hurt'
        number = getattr(signal, os.environ.get('FAULT', ''), None)
        if number and get_rank() == 1 and runner.iter == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), number)
"""
WAIT = 20  # seconds that a process waits for the other one
pytestmark = [pytest.mark.slow, pytest.mark.reliability, ranks.needs_fork]


@pytest.fixture
def job(root, tmp_path):
    """Starts a job of two ranks: a process, and where its checkpoints are."""
    (tmp_path / 'fault.py').write_text(FAULT)
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(root / CONFIG)!r}\n'
        "custom_imports = dict(imports=[*_base_.custom_imports['imports'], 'fault'])\n"
        "custom_hooks = [*_base_.custom_hooks, dict(type='Fault')]\n"
        'train_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(num_images=12))\n'
        'val_dataloader = dict(dataset=dict(num_images=4))\n'
        'train_cfg = dict(max_epochs=2)\n'
        'default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1))\n'
        f'env_cfg = dict(dist_cfg=dict(timeout={WAIT}))\n'
    )
    path = f'{tmp_path}{os.pathsep}{root}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'

    def start(name, processes=2, prefix=(), **environment):
        command = [*prefix, 'bash', 'tools/dist_train.sh', config, processes, '--work-dir', tmp_path / name]
        return subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=root,
            env={
                **os.environ,
                'PYTHON': sys.executable,
                'OMP_NUM_THREADS': '1',
                'PYTHONPATH': path,
                'PORT': ranks.free_port(),
                **environment,
            },
        )

    return start


def finished(process) -> tuple[int, str, float]:
    """Exit code, what it said, and for how many seconds."""
    start = time.perf_counter()
    said, _ = process.communicate(timeout=300)
    return process.returncode, said, time.perf_counter() - start


def weights(folder) -> dict:
    return torch.load(folder / 'iter_6.pth', weights_only=False)['state_dict']


FAULTS = {
    'SIGKILL': ('killed', 'Signal 9 (SIGKILL) received'),  # says torchrun
    'SIGSTOP': ('stopped', 'Another process of this job died or does not answer'),
}


def repeated(tally) -> int:
    if not (times := tally.times(0, 1, 5)):
        pytest.skip('half a minute each: by make reliability')
    return times


@pytest.mark.parametrize('fault', FAULTS)
def test_a_rank_that_dies_or_stops_ends_the_job(fault, job, tally):
    times, (word, message), seconds = repeated(tally), FAULTS[fault], []
    for turn in range(times):
        code, said, took = finished(job(str(turn), FAULT=fault))
        assert code != 0 and message in said, said
        seconds.append(took)
    tally.record(
        'Faults',
        f'one of two processes {word} in a step ({WAIT} s of patience)',
        times,
        f'the job ends with a sentence, {max(seconds):.0f} s after its start',
        'less than one step',
    )


@pytest.mark.parametrize('fault', FAULTS)
def test_a_job_that_starts_again_by_itself(fault, job, tally, tmp_path):
    times, (word, _), seconds = repeated(tally), FAULTS[fault], []
    code, said, _ = finished(job('whole'))
    assert code == 0, said
    for turn in range(times):
        code, said, took = finished(job(str(turn), FAULT=fault, MAX_RESTARTS='1'))
        assert code == 0 and 'resumed epoch' in said, said
        seconds.append(took)
        found = weights(tmp_path / str(turn))
        assert all(torch.equal(found[name], value) for name, value in weights(tmp_path / 'whole').items())
    tally.record(
        'Faults',
        f'one of two processes {word} in a step, MAX_RESTARTS=1',
        times,
        f'goes on by itself, ends after {max(seconds):.0f} s with the weights of an unbroken job',
    )


@contextmanager
def two_machines():
    """Two network namespaces with a cable between them: the prefixes of their commands."""

    def ip(command):
        return subprocess.run(['ip', *command.split()], capture_output=True, text=True)

    names = [f'rsmamba{os.getpid()}{side}' for side in 'ab']
    try:
        for name in names:
            if (made := ip(f'netns add {name}')).returncode:
                pytest.skip(f'no network namespaces here: {made.stderr.strip()}')
        ip(f'-n {names[0]} link add cable type veth peer name cable netns {names[1]}')
        for number, name in enumerate(names, 1):
            ip(f'-n {name} address add 10.77.0.{number}/24 dev cable')
            for device in ('cable', 'lo'):
                ip(f'-n {name} link set {device} up')
        yield [['ip', 'netns', 'exec', name] for name in names]
    finally:
        for name in names:
            ip(f'netns delete {name}')


def test_two_machines(job, tally, tmp_path):
    if not (times := tally.times(0, 1, 3)):
        pytest.skip('half a minute: by make reliability')
    for turn in range(times):
        code, said, _ = finished(job(f'one{turn}'))
        assert code == 0, said
        with two_machines() as prefixes:
            place = dict(NNODES='2', MASTER_ADDR='10.77.0.1', PORT='29511', GLOO_SOCKET_IFNAME='cable')
            nodes = [
                job(f'two{turn}', 1, prefix, NODE_RANK=str(rank), **place)
                for rank, prefix in enumerate(prefixes)
            ]
            for node in nodes:
                code, said, _ = finished(node)
                assert code == 0, said
        one, two = (weights(tmp_path / f'{name}{turn}') for name in ('one', 'two'))
        assert all(torch.equal(one[name], value) for name, value in two.items())
    tally.record(
        'Machines',
        'one process on each of two machines (network namespaces with a cable between them)',
        times,
        'the weights of two processes on one machine, to the bit',
    )
