from dataclasses import dataclass

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
    with pytest.raises(ValueError, match=r"unknown scan order 'spiral'\. Known orders: cluster, column, "):
        get_order('spiral')


def test_fixed_orders_are_kept_for_a_grid_and_a_device():
    cpu = torch.device('cpu')
    with torch.inference_mode():
        orders = fixed_orders(['forward', 'column'], 3, 5, cpu)
    assert torch.equal(orders, make_orders(['forward', 'column'], 3, 5))
    again = fixed_orders(['forward', 'column'], 3, 5, cpu)
    assert again.data_ptr() == orders.data_ptr() and not orders.is_inference()
    slotted = fixed_orders(['column'], 3, 5, cpu, cls_slots=(0,))
    assert torch.equal(slotted, make_orders(['column'], 3, 5, cls_slots=(0,)))
    assert fixed_orders(['forward', 'column'], 3, 5, torch.device('meta')).device.type == 'meta'
    with pytest.raises(ValueError, match="'shuffle' is random, and fixed_orders keeps"):
        fixed_orders(['forward', 'shuffle'], 3, 5, cpu)


# what a registered function returns -------------------------------------------------------------


@pytest.fixture
def register(monkeypatch):
    """Registers an order that returns ``entries``, or is the function given, for one test."""

    def add(name, entries, **options):
        monkeypatch.delitem(SCAN_ORDERS, name, raising=False)
        function = entries if callable(entries) else lambda *size: entries
        register_order(name, **options)(function)
        return name

    known = dict(SCAN_ORDERS)
    yield add
    SCAN_ORDERS.clear()
    SCAN_ORDERS.update(known)


FAULTS = {
    'short': (torch.arange(5), 'step 5 reads nothing, but there are 6 steps'),
    'long': (torch.tensor([5, 4, 3, 2, 1, 0, 6]), 'step 6 reads token 6, but there are only 6 steps'),
    'empty': (torch.arange(0), 'step 0 reads nothing'),
    'repeated': (torch.tensor([0, 1, 2, 1, 4, 4]), 'step 3 reads token 1, which step 1 has read'),
    'beyond': (torch.tensor([0, 1, 6, 3, 3, 5]), 'step 2 reads token 6, but the tokens are 0 … 5'),
    'negative': (torch.tensor([0, 1, 2, 3, 4, -1]), 'step 5 reads token -1, but the tokens are 0 … 5'),
    'float': (torch.arange(6.0), 'its entries must be int64, but are float32: step 0 reads 0.0'),
    'int32': (torch.arange(6, dtype=torch.int32), 'must be int64, but are int32: step 0 reads 0'),
    'bool': (torch.ones(6, dtype=torch.bool), 'must be int64, but are bool: step 0 reads True'),
    'unflattened': (torch.arange(6).view(2, 3), r'its shape is \(2, 3\), but must be \(6,\)'),
}


@pytest.mark.parametrize('fault', FAULTS)
@pytest.mark.parametrize('options', [dict(grid=True), dict(grid=True, random=True), dict()], ids=str)
def test_what_is_no_permutation_is_refused(register, fault, options):
    entries, message = FAULTS[fault]
    register(fault, entries, **options)
    grid = r'\(2, 3\)' if options else r'\(1, 6\)'  # a sequence is a grid of one row
    message = f"scan order '{fault}' on a grid of {grid}: .*{message}"
    for _ in range(2):  # a refusal is not forgotten
        with pytest.raises(ValueError, match=message):
            make_orders(['forward', fault], 2, 3)
    if not options.get('random'):
        with pytest.raises(ValueError, match=message):
            fixed_orders([fault], 2, 3, torch.device('cpu'))


def test_what_is_no_tensor_is_refused(register):
    register('listed', list(range(6)))
    with pytest.raises(ValueError, match=r"'listed' on a grid of \(1, 6\) returned list, not a tensor"):
        make_orders(['listed'], 2, 3)


def test_class_tokens_belong_to_the_length_of_an_order_of_sequences(register):
    register('six', torch.arange(6))
    with pytest.raises(ValueError, match=r"'six' on a grid of \(1, 7\): step 6 reads nothing"):
        make_orders(['six'], 2, 3, cls_slots=(0,))


def test_an_order_that_stands_still_is_asked_and_checked_once_for_a_grid(register):
    calls = []

    def columns(height, width):
        calls.append((height, width))
        return torch.arange(height * width).view(height, width).t().flatten()

    register('columns', columns, grid=True)
    orders = [make_orders(['columns'], 3, 5) for _ in range(3)]
    orders[0].zero_()
    assert torch.equal(orders[1], orders[2]) and orders[2].any()
    assert make_orders(['columns', 'column'], 2, 3).unique(dim=0).shape == (1, 6)
    assert calls == [(3, 5), (2, 3)]


def test_an_order_may_be_an_object_without_a_hash(register):
    @dataclass
    class Turned:
        by: int

        def __call__(self, height, width):
            return torch.arange(height * width).roll(self.by)

    register('turned', Turned(1))
    assert make_orders(['turned', 'turned'], 1, 4).tolist() == [[3, 0, 1, 2]] * 2


def test_a_random_order_is_checked_at_each_draw(register):
    draws = iter([torch.tensor([2, 0, 1]), torch.tensor([2, 0, 2])])
    register('draw', lambda height, width, generator: next(draws), random=True)
    assert make_orders(['draw'], 1, 3).tolist() == [[2, 0, 1]]
    with pytest.raises(ValueError, match='step 2 reads token 2, which step 0 has read'):
        make_orders(['draw'], 1, 3)


def test_an_order_may_exist_for_some_grids_only(register):
    def quarters(height, width):
        if height % 2 or width % 2:
            raise ValueError('quarters needs even sides')
        return torch.arange(height * width).view(2, height // 2, 2, width // 2).transpose(1, 2).flatten()

    register('quarters', quarters, grid=True)
    with pytest.raises(ValueError, match='quarters needs even sides'):
        make_orders(['quarters'], 3, 4)
    assert make_orders(['quarters'], 2, 4).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]


@pytest.mark.parametrize(
    ('name', 'function', 'options', 'error', 'message'),
    [
        (None, None, {}, TypeError, r"by @register_order\('name'\), got the name None"),
        ('', torch.arange, {}, ValueError, 'must not be empty'),
        ('index', torch.arange(6), {}, TypeError, r"'index' must be a function of \(height, width\), got"),
        ('length', lambda length: 0, {}, TypeError, r'got one of \(length\): too many positional'),
        ('three', lambda h, w, d: 0, {}, TypeError, "missing a required argument: 'd'"),
        ('draw', lambda h, w: 0, dict(random=True), TypeError, r'of \(height, width, generator\), got one'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_is_no_order_is_refused_when_it_is_registered(name, function, options, error, message):
    known = dict(SCAN_ORDERS)
    with pytest.raises(error, match=message):
        register_order(name, **options)(function)
    assert known == SCAN_ORDERS


def test_models_refuse_an_order_that_is_none(register):
    from rsmamba_mm.layers import SS2D
    from rsmamba_mm.models import RSMamba

    register('twice', lambda h, w: torch.arange(h * w) // 2 * 2, grid=True)
    arch = dict(embed_dims=16, num_layers=1, feedforward_channels=32)
    model = RSMamba(arch, path_type=['forward', 'twice'], img_size=32)
    for training in (True, False):
        with pytest.raises(ValueError, match=r"'twice' on a grid of \(4, 4\): step 1 reads token 0,"):
            model.train(training)(torch.rand(1, 3, 32, 32))
        with pytest.raises(ValueError, match=r"'twice' on a grid of \(2, 3\): step 1 reads token 0,"):
            SS2D(8, orders=['twice']).train(training)(torch.rand(1, 2, 3, 8))


@pytest.mark.slow
@pytest.mark.parametrize('random', [False, True])
def test_a_compiled_graph_checks_what_it_draws(register, random):
    def draw(height, width, generator=None):
        return (torch.randperm if random else torch.arange)(height * width)

    register('good', draw, random=random)
    register('bad', lambda *size: draw(*size) // 2, random=random)

    def read(x, name):
        return x[make_orders([name], 1, len(x))[0]]

    compiled = torch.compile(read, backend='aot_eager', fullgraph=True)
    x = torch.arange(6)
    assert compiled(x, 'good').sort().values.equal(x)
    with pytest.raises(ValueError, match=r"'bad' on a grid of \(1, 6\): step"):
        compiled(x, 'bad')
