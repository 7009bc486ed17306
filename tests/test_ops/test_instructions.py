"""Each set of instructions that the native library holds, on those that this processor has."""

import pytest
import torch

from rsmamba_mm.ops import available_backends, make_orders, multi_order_conv1d, multi_order_scan, testing
from rsmamba_mm.ops import use_backend as use
from rsmamba_mm.ops.backends.cpu import build, call

pytestmark = pytest.mark.skipif('cpu' not in available_backends(), reason='the native backend is not here')

NAMES = list(build.INSTRUCTIONS)  # the most capable first


@pytest.fixture(params=NAMES)
def instructions(request, monkeypatch):
    if NAMES.index(request.param) < NAMES.index(build.instructions()):
        pytest.skip(f'this processor has no {request.param}')
    monkeypatch.setattr(call, 'instructions', lambda: request.param)


@pytest.mark.parametrize('rank', [0, 3])
@pytest.mark.parametrize('states', [1, 7, 16])
def test_scan_is_exact(instructions, states, rank):
    inputs = testing.scan_inputs(2, 3, 71, 37, states, torch.float32, rank=rank)
    options = dict(orders=make_orders(['forward', 'reverse', 'shuffle'], 1, 71), delta_softplus=True)
    errors = testing.relative_errors(
        testing.run_scan('cpu', inputs, **options), testing.exact_scan(inputs, **options)
    )
    assert max(errors.values()) < 2e-6, errors


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_convolution_is_exact(instructions, dtype):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 70, 37, dtype=dtype), torch.randn(37, 4, dtype=dtype)
    orders = make_orders(['reverse', 'shuffle'], 1, 70)
    with use('cpu'):
        ours = multi_order_conv1d(x, weight, None, orders)
    with use('reference'):
        exact = multi_order_conv1d(x.double(), weight.double(), None, orders)
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-6)


def one_step(delta, A):
    """The state after a step from a state of one that is driven by nothing."""
    u = torch.ones(1, 1, 2, 1)
    steps = torch.tensor([1.0, delta]).view(1, 1, 2, 1)
    B = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1)
    with use('cpu'):
        last = multi_order_scan(u, steps, torch.tensor([[A]]), B, B, return_last_state=True)[1]
    return last.item()


@pytest.mark.parametrize(
    ('delta', 'A'),
    [(0.0, -1.0), (1e-7, -1.0), (86.0, -1.0), (1.0, -86.5), (60.0, -1.0), (1.0, 88.0), (-3.0, 2.0)],
)
def test_decays_up_to_the_edge_of_float(instructions, delta, A):
    exact = torch.tensor(delta * A, dtype=torch.float64).exp().item()
    assert one_step(delta, A) == pytest.approx(exact, rel=3e-5, abs=0)


@pytest.mark.parametrize(('delta', 'A'), [(1e4, -1.0), (1.0, -1e30), (1e38, -1.0)])
def test_decays_beyond_it_leave_nothing(instructions, delta, A):
    assert 0 <= one_step(delta, A) < 3e-38


@pytest.mark.parametrize(('delta', 'A'), [(float('nan'), -1.0), (1.0, float('nan'))])
def test_nan_stays(instructions, delta, A):
    assert torch.tensor(one_step(delta, A)).isnan()
