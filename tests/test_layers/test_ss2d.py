from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rsmamba_mm.layers import DIRECTIONS, SS2D, VSSBlock
from rsmamba_mm.ops import make_orders, selective_scan, use_backend

DATA = Path(__file__).parents[1] / 'data'


@pytest.mark.parametrize('backend', ['reference', 'torch', 'auto'])
def test_published_outputs_and_gradients(backend):
    golden = {name: torch.from_numpy(x) for name, x in np.load(DATA / 'vss_block.npz').items()}
    block = VSSBlock(16)
    block.load_state_dict({k.removeprefix('sd/'): v for k, v in golden.items() if k.startswith('sd/')})
    x = golden['x'].requires_grad_()
    with use_backend(backend):
        y = block(x)
        y.backward(golden['cotangent'])
    torch.testing.assert_close(y, golden['y'], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, golden['grad_x'], rtol=1e-4, atol=1e-4)
    parameters = dict(block.named_parameters())
    for name in ('op.A_logs', 'op.x_proj_weight'):
        torch.testing.assert_close(parameters[name].grad, golden[f'grad/{name}'], rtol=1e-4, atol=1e-4)


def plain_ss2d(m: SS2D, x: torch.Tensor) -> torch.Tensor:
    """Four flattened copies, one call of the scan for each, as SS2D is written down."""
    batch, height, width, _ = x.shape
    u, z = m.in_proj(x).chunk(2, -1)
    u = F.silu(m.conv2d(u.permute(0, 3, 1, 2)))
    rows, columns = u.flatten(2), u.mT.flatten(2)
    total = 0
    A, D = -m.A_logs.exp().view(4, -1, m.d_state), m.Ds.view(4, -1)
    for k, sequence in enumerate((rows, columns, rows.flip(-1), columns.flip(-1))):
        dt, B, C = torch.einsum('bel,ce->bcl', sequence, m.x_proj_weight[k]).split(
            [m.dt_rank, m.d_state, m.d_state], 1
        )
        dt = torch.einsum('brl,er->bel', dt, m.dt_projs_weight[k])
        y = selective_scan(
            sequence, dt, A[k], B, C, D[k], delta_bias=m.dt_projs_bias[k], delta_softplus=True
        )
        y = y.flip(-1) if k >= 2 else y
        if k % 2:
            y = y.view(batch, -1, width, height).mT.flatten(2)
        total = total + y
    y = m.out_norm(total.mT).view(batch, height, width, -1)
    return m.out_proj(y * F.silu(z))


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (5, 3), (8, 8)])
@pytest.mark.parametrize('options', [{}, dict(d_state=4, ssm_ratio=1.5, dt_rank=3, d_conv=5)])
def test_equals_the_plain_formula(size, options):
    torch.manual_seed(0)
    module = SS2D(12, **options).double()
    x = torch.randn(2, *size, 12, dtype=torch.float64, requires_grad=True)
    with use_backend('reference'):
        expected = plain_ss2d(module, x)
    y = module(x)
    torch.testing.assert_close(y, expected)
    gradients = [
        torch.autograd.grad(out.square().sum(), [x, *module.parameters()]) for out in (y, expected)
    ]
    torch.testing.assert_close(*gradients)


def ss2d_along_orders(m: SS2D, x: torch.Tensor, orders: torch.Tensor) -> torch.Tensor:
    """One sequence for each order, gathered, scanned and put back."""
    batch, height, width, _ = x.shape
    u, z = m.in_proj(x).chunk(2, -1)
    u = F.silu(m.conv2d(u.permute(0, 3, 1, 2))).flatten(2)
    total = torch.zeros_like(u)
    A, D = (p.unflatten(0, (len(orders), -1)) for p in (-m.A_logs.exp(), m.Ds))
    for k, order in enumerate(orders):
        sequence = u[:, :, order]
        dt, B, C = (m.x_proj_weight[k] @ sequence).split([m.dt_rank, m.d_state, m.d_state], 1)
        y = selective_scan(
            sequence,
            m.dt_projs_weight[k] @ dt,
            *(A[k], B, C, D[k]),
            delta_bias=m.dt_projs_bias[k],
            delta_softplus=True,
        )
        total = total.index_add(2, order, y)
    y = m.out_norm(total.mT).view(batch, height, width, -1)
    return m.out_proj(y * F.silu(z))


ORDERS = [['forward'], ['snake', 'snake_reverse'], ['column', 'column', 'reverse'], [*DIRECTIONS, 'snake']]


@pytest.mark.parametrize('orders', [*ORDERS, list(DIRECTIONS)], ids='-'.join)
def test_any_orders_equal_the_plain_formula(orders):
    torch.manual_seed(0)
    module = SS2D(12, d_state=4, orders=orders).double()
    x = torch.randn(2, 5, 3, 12, dtype=torch.float64, requires_grad=True)
    with use_backend('reference'):
        expected = ss2d_along_orders(module, x, make_orders(orders, 5, 3))
    y = module(x)
    torch.testing.assert_close(y, expected)
    gradients = [
        torch.autograd.grad(out.square().sum(), [x, *module.parameters()]) for out in (y, expected)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('orders', ORDERS, ids='-'.join)
def test_parameters_keep_the_released_names_with_one_row_an_order(orders):
    block, paths = VSSBlock(16, d_state=4, orders=orders), len(orders)
    block.init_weights()
    state, default = block.state_dict(), VSSBlock(16, d_state=4).state_dict()
    assert list(state) == list(default)
    shapes = dict(x_proj_weight=(9, 32), dt_projs_weight=(32, 1), dt_projs_bias=(32,))
    for name, shape in shapes.items():
        assert state[f'op.{name}'].shape == (paths, *shape)
    assert state['op.A_logs'].shape == (paths * 32, 4) and state['op.Ds'].shape == (paths * 32,)
    copy = VSSBlock(16, d_state=4, orders=orders)
    copy.load_state_dict(state)
    x = torch.randn(1, 4, 6, 16)
    assert torch.equal(block(x), copy(x))
    with pytest.raises(RuntimeError, match=r'size mismatch for op\.x_proj_weight'):
        copy.load_state_dict(default)


def test_the_four_directions_are_the_default():
    modules = []
    for options in ({}, dict(orders=list(DIRECTIONS))):
        torch.manual_seed(0)
        modules.append(VSSBlock(16, **options))
    x = torch.randn(2, 5, 4, 16)
    assert torch.equal(modules[0](x), modules[1](x))
    assert SS2D(8).orders == ('forward', 'column', 'reverse', 'column_reverse')


def test_random_orders_are_new_in_training_and_fixed_in_evaluation():
    torch.manual_seed(0)
    module, x = SS2D(12, orders=['forward', 'shuffle'], shuffle_seed=3), torch.randn(1, 4, 5, 12)
    assert not torch.equal(module(x), module(x))
    torch.manual_seed(7)
    drawn = torch.stack([torch.arange(20), torch.randperm(20)])
    torch.manual_seed(7)
    torch.testing.assert_close(module(x), ss2d_along_orders(module, x, drawn))
    module.eval()
    fixed = make_orders(['forward', 'shuffle'], 4, 5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(module(x), ss2d_along_orders(module, x, fixed))
    first = module(x)
    torch.manual_seed(8)
    assert torch.equal(module(x), first)
    module.shuffle_seed = 4
    assert not torch.equal(module(x), first)


def test_initial_steps_and_states():
    torch.manual_seed(0)
    module = SS2D(32, init_cfg=dict(type='Constant', layer='Linear', val=0.5))
    module.init_weights()
    assert (module.out_proj.weight == 0.5).all()
    steps = F.softplus(module.dt_projs_bias)
    assert 1e-3 <= steps.min() < 2e-3 and 5e-2 < steps.max() <= 0.1
    torch.testing.assert_close(module.A_logs.exp(), torch.arange(1, 17.0).expand(256, 16))
    assert (module.Ds == 1).all()


def test_no_parameter_is_idle_and_half_precision_stays_close():
    torch.manual_seed(0)
    block = VSSBlock(16, drop_path=0.1)
    x = torch.randn(2, 9, 6, 16)
    block(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())
    block.eval()
    exact = block(x)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = block(x)
    assert (low - exact).abs().max() < 0.05 * exact.abs().max()


def test_without_mlp_and_without_copies_of_the_input():
    block = VSSBlock(16, mlp_ratio=0)
    assert not any('mlp' in name for name, _ in block.named_parameters())
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
    ):
        block(torch.randn(1, 64, 64, 16))
    inner = 64 * 64 * 32  # elements of the inner channels of all tokens
    # what is four times the input is the scan's output alone, which is summed at once and not kept
    assert max(t.numel() for t in kept.values()) < 4 * inner


@pytest.mark.slow
@pytest.mark.parametrize('orders', [DIRECTIONS, ('snake', 'shuffle')], ids='-'.join)
@pytest.mark.parametrize('training', [True, False])
def test_compiles_without_a_graph_break(orders, training):
    torch.manual_seed(0)
    block = VSSBlock(8, orders=orders).train(training)
    x = torch.randn(1, 5, 4, 8)
    compiled = torch.compile(block, backend='aot_eager', fullgraph=True)
    compiled(x)
    torch.manual_seed(1)
    y = compiled(x)
    torch.manual_seed(1)
    torch.testing.assert_close(y, block(x))


def test_refusals():
    with pytest.raises(ValueError, match='d_state must be a positive integer, got 0'):
        SS2D(16, d_state=0)
    with pytest.raises(ValueError, match='d_conv must be odd, got 4'):
        SS2D(16, d_conv=4)
    with pytest.raises(ValueError, match=r"unknown scan order 'spiral'\. Known orders: cluster, column,"):
        SS2D(16, orders=['forward', 'spiral'])
    with pytest.raises(ValueError, match="SS2D: orders needs a list of scan orders, got 'snake'"):
        VSSBlock(16, orders='snake')
