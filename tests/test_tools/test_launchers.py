"""The launchers on a machine without a GPU: ranks that talk by gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CONFIG = 'configs/rsmamba/rsmamba-t_synthetic-128px.py'
MINIATURE = [
    '--cfg-options',
    'train_dataloader.dataset.num_images=8',
    'val_dataloader.dataset.num_images=5',  # not even: one rank pads
    'test_dataloader.dataset.num_images=5',
    'train_dataloader.batch_size=2',
    'train_cfg.max_epochs=1',
    'default_hooks.logger.interval=1',
]

# a hook that writes the loss of each step and rank, and how far torch's generator is, which shuffles
RECORDER = """
import zlib
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class Recorder(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        generator = zlib.crc32(torch.get_rng_state().numpy().tobytes())
        with (Path(runner.work_dir) / f'rank{get_rank()}.txt').open('a') as file:
            print(outputs['loss'].item(), generator, file=file)
"""


def call(root, script, *args, **environment):
    return subprocess.run(
        ['bash', f'tools/{script}.sh', *map(str, args)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **environment},
    )


def free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.skipif(torch.cuda.is_available(), reason='the ranks would take the GPU')
def test_two_ranks_train_and_test(root, tmp_path):
    work_dir = tmp_path / 'run'
    result = call(
        root, 'dist_train', CONFIG, 2, '--work-dir', work_dir, *MINIATURE, MASTER_PORT=free_port()
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'Epoch(train) [1][2/2]' in result.stdout + result.stderr  # 8 images by 2 ranks by 2
    record = json.loads(next(work_dir.glob('*/run.json')).read_text())
    assert '--launcher pytorch' in record['command']

    figures = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        result = call(
            root, 'dist_test', CONFIG, work_dir / 'epoch_1.pth', processes, '--work-dir', out, *MINIATURE,
            MASTER_PORT=free_port(),
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        metrics = json.loads(next(path for path in out.glob('*/*.json') if path.stem != 'run').read_text())
        figures.append({k: v for k, v in metrics.items() if 'time' not in k})
        assert len(list(out.glob('*/confusion_matrix.png'))) == 1
    assert figures[0] == figures[1] and 'single-label/kappa' in figures[0]


def figures(path: Path) -> dict:
    """The last evaluation in a log, without times."""
    last = json.loads(path.read_text().splitlines()[-1])
    return {k: v for k, v in last.items() if 'time' not in k}


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.skipif(torch.cuda.is_available(), reason='the ranks would take the GPU')
def test_two_ranks_learn_what_one_process_does(root, tmp_path):
    (tmp_path / 'recorder.py').write_text(RECORDER)
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(root / CONFIG)!r}\n'
        "custom_imports = dict(imports=[*_base_.custom_imports['imports'], 'recorder'])\n"
        "custom_hooks = [*_base_.custom_hooks, dict(type='Recorder')]\n"
        "train_dataloader = dict(dataset=dict(num_images=24, pipeline=[dict(type='PackInputs')]))\n"
        'val_dataloader = dict(dataset=dict(num_images=13))\n'
        'test_dataloader = dict(dataset=dict(num_images=13))\n'
        'train_cfg = dict(max_epochs=1)\n'
    )
    environment = dict(PYTHONPATH=f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    losses, generators, weights, validated, tested = {}, {}, {}, {}, {}
    for ranks in (1, 2):
        out = tmp_path / str(ranks)
        batch = f'train_dataloader.batch_size={4 // ranks}'
        result = call(
            root, 'dist_train', config, ranks, '--work-dir', out, '--cfg-options', batch,
            MASTER_PORT=free_port(), **environment,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        record = [(out / f'rank{rank}.txt').read_text().split() for rank in range(ranks)]
        losses[ranks] = torch.tensor([list(map(float, each[::2])) for each in record])
        generators[ranks] = [each[1::2] for each in record]
        weights[ranks] = torch.load(out / 'epoch_1.pth', map_location='cpu')['state_dict']
        validated[ranks] = figures(next(out.glob('*/vis_data/scalars.json')))
        result = call(
            root, 'dist_test', config, tmp_path / '1/epoch_1.pth', ranks, '--work-dir', out / 'test',
            MASTER_PORT=free_port(), **environment,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        log = next(path for path in (out / 'test').glob('*/*.json') if path.stem != 'run')
        tested[ranks] = figures(log)

    assert losses[2].shape == (2, 6) and (losses[2][0] != losses[2][1]).all()
    torch.testing.assert_close(losses[2].mean(0), losses[1][0], rtol=0, atol=1e-3)
    # the same random shuffles at each step, which is why
    assert generators[2][0] == generators[2][1] == generators[1][0]
    assert len(set(generators[1][0])) == 6
    torch.testing.assert_close(weights[2], weights[1], rtol=1e-3, atol=2e-5)
    assert validated[2] == validated[1] and 'single-label/kappa' in validated[1]
    assert tested[2] == tested[1] and 'accuracy/top1' in tested[1]


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train'])
def test_usage(root, script):
    result = call(root, script, 'alone')
    assert result.returncode == 2 and result.stderr.startswith('usage: ')


def test_slurm_command(root, tmp_path):
    fake = tmp_path / 'srun'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    environment = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'SRUN_ARGS': '--time=1:00:00 --qos=long'}
    result = call(root, 'slurm_train', 'gpu', 'job', CONFIG, '--amp', GPUS='16', **environment)
    said = result.stdout.splitlines()
    assert {'--partition=gpu', '--ntasks=16', '--ntasks-per-node=8', '--gres=gpu:8', '--qos=long'} <= set(
        said
    )
    assert said[said.index(CONFIG) :] == [CONFIG, '--launcher', 'slurm', '--amp']
    result = call(root, 'slurm_train', 'gpu', 'job', CONFIG, GPUS='2', PATH=environment['PATH'])
    assert {'--ntasks=2', '--ntasks-per-node=2', '--gres=gpu:2'} <= set(result.stdout.splitlines())
