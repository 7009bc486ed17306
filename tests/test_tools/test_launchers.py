"""The launchers on a machine without a GPU: ranks that talk by gloo."""

import json
import os
import subprocess
import sys

import pytest
import ranks
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


def call(root, script, *args, **environment):
    return subprocess.run(
        ['bash', f'tools/{script}.sh', *map(str, args)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **environment},
    )


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.skipif(torch.cuda.is_available(), reason='the ranks would take the GPU')
def test_two_ranks_train_and_test(root, tmp_path):
    work_dir = tmp_path / 'run'
    result = call(root, 'dist_train', CONFIG, 2, '--work-dir', work_dir, *MINIATURE, PORT=ranks.free_port())
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'Epoch(train) [1][2/2]' in result.stdout + result.stderr  # 8 images by 2 ranks by 2
    record = json.loads(next(work_dir.glob('*/run.json')).read_text())
    assert '--launcher pytorch' in record['command']

    out = tmp_path / 'test'
    result = call(
        root, 'dist_test', CONFIG, work_dir / 'epoch_1.pth', 2, '--work-dir', out, *MINIATURE,
        PORT=ranks.free_port(),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    metrics = json.loads(next(path for path in out.glob('*/*.json') if path.stem != 'run').read_text())
    assert 'single-label/kappa' in metrics
    assert len(list(out.glob('*/confusion_matrix.png'))) == 1


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
