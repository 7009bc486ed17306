import logging
import os
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from rsmamba_mm.ops import (
    BACKENDS,
    available_backends,
    make_orders,
    mamba_inner,
    multi_order_conv1d,
    multi_order_scan,
    register_backend,
    resolve_backend,
    use_backend,
)
from rsmamba_mm.ops.backends import ScanInputs

CPU = torch.device('cpu')


def test_forced_backend_as_call_and_as_context(monkeypatch):
    monkeypatch.setattr(use_backend, '_forced', None)  # and as it was when the test ends
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
@pytest.mark.slow
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


# what a backend does not serve -------------------------------------------------------------------

needs_cpu = pytest.mark.skipif('cpu' not in available_backends(), reason='no C++ compiler')


def scan_of(states, length=7):
    torch.manual_seed(0)
    u, delta = torch.randn(2, 1, 2, length, 4).unbind()
    B, C = torch.randn(2, 1, 2, length, states).unbind()
    tensors = (u, delta, -torch.rand(4, states), B, C, torch.randn(4))
    return [x.double().requires_grad_() for x in tensors], make_orders(['forward', 'reverse'], 1, length)


def run(backend, tensors, orders):
    with use_backend(backend):
        y = multi_order_scan(*tensors, orders, delta_softplus=True)
    return y, *torch.autograd.grad(y.square().sum(), tensors)


@pytest.fixture
def limited():
    """A backend before all others that does not scan more than four states."""
    module = ModuleType('limited')
    module.supports = lambda s: None if s.states <= 4 else f'four states, not {s.states}: take four'
    sys.modules['limited'] = module
    register_backend('limited', 'limited', priority=99)
    yield module
    del BACKENDS['limited'], sys.modules['limited']
    register_backend('torch', BACKENDS['torch'].module)  # forget what was chosen meanwhile


def test_auto_goes_on_to_the_next_that_serves(limited, caplog):
    automatic = [name for name in available_backends() if name not in ('limited', 'triton')]
    best = max(automatic, key=lambda name: BACKENDS[name].priority)
    (few, orders), (many, _) = scan_of(4), scan_of(5)
    assert resolve_backend(CPU) == resolve_backend(CPU, ScanInputs(*few, orders=orders)) == 'limited'
    with caplog.at_level(logging.WARNING, 'rsmamba_mm'):
        for _ in range(3):
            assert resolve_backend(CPU, ScanInputs(*many, orders=orders)) == best
    assert [record.getMessage() for record in caplog.records] == [
        "scan backend 'limited' would be faster but does not serve this: four states, not 5: take four"
    ]
    message = "'limited' was asked for but does not serve this: four states, not 5: take four. Use another"
    with use_backend('limited'), pytest.raises(RuntimeError, match=message):
        resolve_backend(CPU, ScanInputs(*many, orders=orders))


@needs_cpu
def test_more_taps_than_the_cpu_backend_takes():
    torch.manual_seed(0)
    x, weight, orders = torch.randn(1, 20, 4), torch.randn(4, 130), make_orders(['reverse'], 1, 20)
    ours = multi_order_conv1d(x, weight, None, orders)
    with use_backend('reference'):
        torch.testing.assert_close(ours, multi_order_conv1d(x, weight, None, orders))
    with use_backend('cpu'), pytest.raises(RuntimeError, match='at most 128 taps, got 130: choose fewer'):
        multi_order_conv1d(x, weight, None, orders)


@needs_cpu
def test_parts_of_a_mixer_are_served_by_different_backends():
    torch.manual_seed(0)
    states, taps = 4, 130  # more than the native convolution takes
    shapes = [(1, 6, 4), (4, taps), (4,), (2 + 2 * states, 4), (4, 2), (4,), (4, states), (4,)]
    tensors = [torch.rand(shape).requires_grad_() for shape in shapes]
    orders, results = make_orders(['forward', 'reverse'], 1, 6), []
    for backend in ('auto', 'reference'):
        with use_backend(backend):
            y = mamba_inner(*tensors[:6], -tensors[6], tensors[7], orders)
        results.append([y, *torch.autograd.grad(y.sum(), tensors)])
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-4)


@needs_cpu
def test_a_compiled_scan_is_served_as_an_eager_one():
    def step(*tensors):
        return multi_order_scan(*tensors, delta_softplus=True)

    compiled = torch.compile(step, backend='aot_eager', fullgraph=True, dynamic=True)
    for states in (4, 300, 5):
        tensors, _ = scan_of(states)
        torch.testing.assert_close(compiled(*tensors), step(*tensors))
