import os
import subprocess
import sys

import pytest
import torch

from rsmamba_mm.ops import BACKENDS, register_backend, resolve_backend, use_backend

CPU = torch.device('cpu')


def test_forced_backend_as_call_and_as_context():
    automatic = resolve_backend(CPU)
    assert automatic != 'reference'
    with use_backend('reference'):
        assert resolve_backend(CPU) == 'reference'
        with use_backend('torch'):
            assert resolve_backend(CPU) == 'torch'
        assert resolve_backend(CPU) == 'reference'
    assert resolve_backend(CPU) == automatic
    use_backend('reference')
    assert resolve_backend(CPU) == 'reference'
    use_backend('auto')
    assert resolve_backend(CPU) == automatic


def test_unknown_backend_lists_the_known():
    with pytest.raises(ValueError, match=r"use_backend: unknown scan backend 'cuda'\. Known backends"):
        use_backend('cuda')


def test_forced_backend_that_cannot_run_says_why():
    register_backend('unready', 'nowhere', priority=99, probe=lambda: 'its compiler is missing')
    register_backend('elsewhere', 'nowhere', devices=('cuda',), priority=99)
    try:
        assert resolve_backend(CPU) not in ('unready', 'elsewhere')
        with (
            use_backend('unready'),
            pytest.raises(RuntimeError, match="'unready' was asked for but cannot run: its compiler"),
        ):
            resolve_backend(CPU)
        with (
            use_backend('elsewhere'),
            pytest.raises(RuntimeError, match='it runs on cuda, and the tensors are on cpu'),
        ):
            resolve_backend(CPU)
    finally:
        for name in ('unready', 'elsewhere'):
            del BACKENDS[name]
        register_backend('torch', BACKENDS['torch'].module)  # forget what was chosen meanwhile


@pytest.mark.parametrize(
    ('value', 'expected'),
    [('reference', 'reference'), ('auto', None), ('mystery', 'unknown scan backend')],
)
def test_environment_variable(value, expected):
    code = (
        'import sys, torch; from rsmamba_mm.ops import resolve_backend as r\n'
        'print(r(torch.device("cpu")))\n'
        'assert not {"mmengine", "mmcv", "mmpretrain"} & set(sys.modules), "ops must not import OpenMMLab"'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'RSMAMBA_SCAN_BACKEND': value},
        capture_output=True,
        text=True,
    )
    if value == 'mystery':
        assert result.returncode and f'RSMAMBA_SCAN_BACKEND: {expected}' in result.stderr
    else:
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == (expected or resolve_backend(CPU))
