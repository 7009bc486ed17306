"""The check on a GPU, as far as it goes without one: refusal and dry run."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None,
    reason='Triton is not installed: pip install -c requirements/constraints.txt triton (Linux only)',
)
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')


def call(root, *command, **environment):
    environment = {**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)


@pytest.mark.slow
@without_gpu
def test_refuses_without_a_gpu_in_one_sentence(root, tmp_path):
    for command in (
        ('bash', 'tools/gpu_check.sh'),
        (sys.executable, 'tools/analysis_tools/benchmark_gpu.py', '--out', tmp_path / 'out'),
    ):
        result = call(root, *map(str, command), OUT=str(tmp_path / 'out'))
        assert result.returncode == 1
        said = result.stderr.strip().splitlines()[-1]
        assert 'needs an NVIDIA GPU' in said and said.endswith('at tiny sizes on the CPU.')
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
@needs_triton
def test_dry_run_does_every_step(root, tmp_path):
    result = call(root, 'bash', 'tools/gpu_check.sh', '--dry-run', OUT=str(tmp_path), CONFIGS='')
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    record = json.loads((tmp_path / 'benchmark.json').read_text())
    assert record['dry_run'] and record['machine']['gpu'].startswith('none')
    assert {record['checks'][name] for name in ('amp_fp16', 'amp_bf16', 'torch_compile')} == {'right'}
    for name, case in record['cases'].items():
        sides = {'torch'} if name.startswith('UNetMamba') else {'torch', 'triton'}
        assert set(case['seconds']) == sides, name
        assert 'it runs on cuda' in case['absent'].get('released', 'it runs on cuda')
    assert 'the figures say nothing' in (tmp_path / 'benchmark.txt').read_text()
    for name in ('environment.txt', 'exactness.txt', 'tests.txt', 'compiled.txt', 'benchmark.png'):
        assert (tmp_path / name).stat().st_size > 0, name
