import pytest
import torch

from rsmamba_mm.ops import (
    SCAN_ORDERS,
    fixed_orders,
    get_order,
    invert_orders,
    make_orders,
    register_order,
)


@pytest.mark.parametrize('name', sorted(SCAN_ORDERS))
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (1, 7), (5, 1), (4, 4), (3, 5)])
@pytest.mark.parametrize('cls_slots', [(), (0,), (0, 16)])
def test_every_order_is_a_permutation(name, height, width, cls_slots):
    length = height * width + len(cls_slots)
    cls_slots = tuple(min(slot, length - 1) for slot in cls_slots)
    (order,) = make_orders([name], height, width, cls_slots)
    assert sorted(order.tolist()) == list(range(length))
    inverse = invert_orders(order[None])[0]
    assert torch.equal(order[inverse], torch.arange(length))


def test_orders_on_a_small_grid():
    names = ['forward', 'reverse', 'column', 'column_reverse', 'snake', 'snake_reverse']
    assert make_orders(names, 2, 3).tolist() == [
        [0, 1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
        [0, 3, 1, 4, 2, 5],
        [5, 2, 4, 1, 3, 0],
        [0, 1, 2, 5, 4, 3],
        [3, 4, 5, 2, 1, 0],
    ]


def test_class_tokens_travel_in_sequence_orders_and_stay_in_grid_orders():
    reverse, column = make_orders(['reverse', 'column'], 2, 2, cls_slots=(2,))
    assert reverse.tolist() == [4, 3, 2, 1, 0]
    # patches stand at 0, 1, 3, 4
    assert column.tolist() == [0, 3, 2, 1, 4]


def test_shuffle_is_drawn_anew_and_replayed_from_a_seed():
    torch.manual_seed(3)
    drawn = make_orders(['shuffle'], 4, 4)
    torch.manual_seed(3)
    assert torch.equal(drawn[0], torch.randperm(16))
    assert not torch.equal(make_orders(['shuffle'], 4, 4), make_orders(['shuffle'], 4, 4))
    seeded = [make_orders(['shuffle'], 4, 4, generator=torch.Generator().manual_seed(1)) for _ in 'ab']
    assert torch.equal(*seeded)


def test_new_order_is_one_function(monkeypatch):
    monkeypatch.delitem(SCAN_ORDERS, 'odd_first', raising=False)

    @register_order('odd_first')
    def odd_first(height, width):
        index = torch.arange(height * width)
        return torch.cat([index[1::2], index[::2]])

    try:
        assert make_orders(['odd_first'], 1, 5).tolist() == [[1, 3, 0, 2, 4]]
        with pytest.raises(ValueError, match="'odd_first' is registered already"):
            register_order('odd_first')(odd_first)
    finally:
        del SCAN_ORDERS['odd_first']


def test_unknown_order_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown scan order 'spiral'\. Known orders: column, "):
        get_order('spiral')


def test_fixed_orders_are_kept_for_a_grid_and_a_device():
    cpu = torch.device('cpu')
    with torch.inference_mode():
        orders = fixed_orders(['forward', 'column'], 3, 5, cpu)
    assert torch.equal(orders, make_orders(['forward', 'column'], 3, 5))
    assert fixed_orders(['forward', 'column'], 3, 5, cpu) is orders and not orders.is_inference()
    slotted = fixed_orders(['column'], 3, 5, cpu, cls_slots=(0,))
    assert torch.equal(slotted, make_orders(['column'], 3, 5, cls_slots=(0,)))
    assert fixed_orders(['forward', 'column'], 3, 5, torch.device('meta')).device.type == 'meta'
    with pytest.raises(ValueError, match="'shuffle' is random, and fixed_orders keeps"):
        fixed_orders(['forward', 'shuffle'], 3, 5, cpu)
