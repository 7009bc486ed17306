import pytest
import torch

from rsmamba_mm.layers import SS2D, any_random, block_orders, known_orders
from rsmamba_mm.ops import make_orders

CPU = torch.device('cpu')
NAMES = ['forward', 'shuffle', 'column']


def test_training_draws_anew_for_each_block_in_block_order():
    torch.manual_seed(3)
    orders = block_orders(NAMES, (3, 4), CPU, training=True, num_blocks=3)
    torch.manual_seed(3)
    assert torch.equal(orders[:, 1], torch.stack([torch.randperm(12) for _ in range(3)]))
    assert torch.equal(orders[2, [0, 2]], make_orders(['forward', 'column'], 3, 4))
    assert not torch.equal(orders, block_orders(NAMES, (3, 4), CPU, True, 3))


def test_training_waits_for_no_copy_to_a_gpu(monkeypatch):
    """With the GPU's part written down instead of done."""
    calls = []

    def to(orders, device, **options):
        calls.append((device.type, options))
        return orders

    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda orders: calls.append('pinned') or orders)
    monkeypatch.setattr(torch.Tensor, 'to', to)
    torch.manual_seed(3)
    orders = block_orders(['shuffle'], (3, 4), torch.device('cuda'), training=True, num_blocks=2)
    assert calls == ['pinned', ('cuda', dict(non_blocking=True))]
    torch.manual_seed(3)
    assert torch.equal(orders[:, 0], torch.stack([torch.randperm(12) for _ in range(2)]))
    calls.clear()
    block_orders(['shuffle'], (3, 4), CPU, training=True)
    assert calls == [('cpu', {})]


def test_evaluation_repeats_by_its_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    with torch.inference_mode():
        orders = block_orders(NAMES, (3, 4), CPU, training=False, num_blocks=2, seed=5, cls_slots=(0,))
    assert torch.equal(torch.randperm(9), torch.randperm(9, generator=torch.Generator().manual_seed(3)))
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(orders[0], make_orders(NAMES, 3, 4, (0,), generator))
    assert torch.equal(orders[1], make_orders(NAMES, 3, 4, (0,), generator))
    assert block_orders(tuple(NAMES), (3, 4), CPU, False, 2, 5, [0]) is orders and not orders.is_inference()
    assert not torch.equal(orders, block_orders(NAMES, (3, 4), CPU, False, 2, 6, (0,)))


@pytest.mark.parametrize('training', [True, False])
def test_orders_that_stand_still_are_made_once(training):
    orders = block_orders(['reverse', 'column'], (3, 4), CPU, training, num_blocks=2)
    assert torch.equal(orders, make_orders(['reverse', 'column'], 3, 4).expand(2, -1, -1))
    again = block_orders(['reverse', 'column'], (3, 4), CPU, training, num_blocks=4)
    assert again.data_ptr() == orders.data_ptr() and orders[1].is_contiguous()


@pytest.mark.parametrize('names', [['column', 'snake'], ['forward', 'shuffle']], ids='-'.join)
def test_export_holds_the_orders_as_constants_and_leaves_no_trace(names):
    module, x = SS2D(8, d_state=4, orders=names).eval(), torch.randn(1, 3, 7, 8)
    with torch.no_grad():
        program = torch.export.export(module, (x,), strict=False)
    assert not [node for node in program.graph.nodes if 'rand' in str(node.target)]
    orders = block_orders(names, (3, 7), CPU, training=False)
    assert type(orders) is torch.Tensor and sorted(orders[0, 1].tolist()) == [*range(21)]
    exported = program.module()
    for _ in range(2):
        torch.testing.assert_close(exported(x), module(x))


def test_names():
    assert known_orders('SS2D: orders', ['snake', 'forward']) == ('snake', 'forward')
    assert any_random(['forward', 'shuffle']) and not any_random(['forward', 'snake'])
    for given in ('snake', (), None, 3):
        with pytest.raises(ValueError, match='SS2D: orders needs a list of scan orders, got '):
            known_orders('SS2D: orders', given)
    with pytest.raises(ValueError, match=r"unknown scan order 'spiral'\. Known orders: "):
        known_orders('SS2D: orders', ['forward', 'spiral'])
