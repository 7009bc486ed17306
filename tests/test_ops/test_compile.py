"""The operators under torch.compile, autocast and the counters of operations."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rsmamba_mm.layers import SS2D, MultiPathMamba
from rsmamba_mm.ops import make_orders, multi_order_scan, scan_flops, use_backend

ORDERS = make_orders(['forward', 'reverse', 'shuffle'], 1, 20)


def mixer():
    torch.manual_seed(0)
    gate = torch.nn.Sequential(torch.nn.Linear(48, 3, bias=False), torch.nn.Softmax(-1))
    return MultiPathMamba(16), gate, torch.randn(2, 20, 16)


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['torch', 'auto'])
def test_mixer_compiles_without_a_graph_break(backend):
    model, gate, x = mixer()
    assert_trains_compiled(model, (x, ORDERS, gate), backend)


@pytest.mark.parametrize('backend', ['torch', 'auto'])
def test_ss2d_compiles_without_a_graph_break(backend):
    torch.manual_seed(0)
    assert_trains_compiled(SS2D(8, d_state=4), (torch.randn(2, 3, 4, 8),), backend)


def assert_trains_compiled(model, inputs, backend):
    """Output and gradients of a step are those of the eager model."""
    compiled = torch.compile(model, backend='aot_eager', fullgraph=True)
    results = []
    with use_backend(backend):
        for function in (model, compiled):
            model.zero_grad()
            y = function(*inputs)
            y.square().sum().backward()
            results.append([y, *(p.grad.clone() for p in model.parameters())])
    for eager, traced in zip(*results, strict=True):
        torch.testing.assert_close(eager, traced)


@pytest.mark.parametrize('backend', ['torch', 'auto'])
def test_autocast(backend):
    model, gate, x = mixer()
    with use_backend(backend):
        exact = model(x, ORDERS, gate)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            low = model(x, ORDERS, gate)
        low.float().square().sum().backward()
    assert low.dtype == torch.bfloat16
    assert (low.float() - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_torch_counts_the_scan():
    tensors = [torch.randn(2, 3, 20, 8) for _ in range(2)]
    A, B, C = -torch.rand(8, 4), torch.randn(2, 3, 20, 4), torch.randn(2, 3, 20, 4)
    for D, skip in ((None, 0), (torch.ones(8), 1)):
        with FlopCounterMode(display=False) as counter:
            multi_order_scan(*tensors, A, B, C, D, orders=ORDERS)
        assert counter.get_total_flops() == 6 * 20 * 8 * (9 * 4 + skip)
        assert counter.get_total_flops() == scan_flops(6, 20, 8, 4, skip=bool(skip))
