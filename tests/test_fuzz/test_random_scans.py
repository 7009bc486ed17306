"""Random scans: right shapes, finite numbers and gradients, alike in both layouts; or the tensor named."""

import pytest
import torch
from fuzz import DTYPES, explore, laid_out
from hypothesis import strategies as st
from torch import Tensor

from rsmamba_mm.ops import multi_order_scan, selective_scan

pytestmark = pytest.mark.reliability

SMALL = st.integers(1, 6)
SCAN_CASES = st.fixed_dictionaries(
    dict(
        batch=st.integers(1, 3), paths=st.integers(1, 4), length=st.integers(1, 70), channels=SMALL,
        states=SMALL, rank=st.sampled_from((0, 0, 1, 3)), dtype=st.sampled_from(DTYPES),
        layout=st.sampled_from(('plain', 'turned', 'sliced', 'expanded')),
        one_u=st.booleans(), shared_A=st.booleans(), with_D=st.booleans(), with_bias=st.booleans(),
        softplus=st.booleans(), ordered=st.booleans(), last=st.booleans(), seed=st.integers(0, 99),
        wrong=st.none() | st.just(('orders', 'outside')) | st.tuples(
            st.sampled_from(('u', 'delta', 'A', 'B', 'C', 'orders', 'D', 'delta_bias')),
            st.sampled_from(('longer', 'nested', 'integers')),
        ),
    )
)  # fmt: skip


def spoilt(x: Tensor, how: str) -> Tensor:
    """A tensor that does not fit the others."""
    if how == 'outside':
        return x.clone().index_fill_(1, torch.tensor([0]), x.shape[1])
    if how == 'longer':
        return torch.cat([x, x[..., :1]], -1)
    return x[None, None] if how == 'nested' else x.int()


def check_scan(case: dict) -> None:
    torch.manual_seed(case['seed'])
    batch, paths, length = case['batch'], case['paths'], case['length']
    channels, states, rank = case['channels'], case['states'], case['rank']
    shapes = dict(
        u=(batch, 1 if case['one_u'] else paths, length, channels),
        delta=(batch, paths, length, rank or channels),
        A=(channels, states) if case['shared_A'] else (paths, channels, states),
        B=(batch, paths, length, states),
        C=(batch, paths, length, states),
    )
    x = {name: laid_out(shape, case['layout'], case['dtype']) for name, shape in shapes.items()}
    x['A'] = -x['A'].abs()
    x['delta'] = x['delta'] / 4 if case['softplus'] else x['delta'].abs() / 4
    if rank:
        x['delta_weight'] = torch.randn(channels, rank, dtype=case['dtype']).abs() / 4
    if case['with_D']:
        x['D'] = torch.randn(channels, dtype=case['dtype'])
    if case['with_bias']:
        x['delta_bias'] = torch.rand(paths, channels, dtype=case['dtype'])
    orders = torch.stack([torch.randperm(length) for _ in range(paths)]) if case['ordered'] else None
    x = {name: tensor.requires_grad_() for name, tensor in x.items()}
    options = dict(x, orders=orders, delta_softplus=case['softplus'])
    wrong = case['wrong'] if case['wrong'] and options.get(case['wrong'][0]) is not None else None
    if wrong:
        options[wrong[0]] = spoilt(options[wrong[0]].detach(), wrong[1])
        with pytest.raises(
            (ValueError, TypeError), match=rf'^scan: .*{"order" if wrong[0] == "orders" else wrong[0]}'
        ):
            multi_order_scan(**options)
        return
    y, last = multi_order_scan(**options, return_last_state=True)
    assert y.shape == (batch, paths, length, channels) and y.dtype == case['dtype']
    assert last.shape == (batch, paths, channels, states)
    ((y.double() * torch.randn_like(y)).sum() + case['last'] * last.double().sum()).backward()
    for name, value in (('y', y), ('last', last), *((name, tensor.grad) for name, tensor in x.items())):
        assert value is not None and value.isfinite().all(), name
    if orders is None and not rank and not case['one_u']:
        check_same_in_groups(x, y.detach(), case['softplus'])


def check_same_in_groups(x: dict[str, Tensor], y: Tensor, softplus: bool) -> None:
    """The same scan in the layout of mamba_ssm, in which the paths are groups of channels."""
    batch, paths, length, channels = y.shape

    def channels_first(tensor: Tensor) -> Tensor:
        return tensor.mT.reshape(batch, paths * channels, length)

    def stacked(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.expand(paths, channels).reshape(-1)

    same = selective_scan(
        channels_first(x['u']),
        channels_first(x['delta']),
        x['A'].expand(paths, *x['A'].shape[-2:]).flatten(0, 1),
        x['B'].mT,
        x['C'].mT,
        stacked(x.get('D')),
        delta_bias=stacked(x.get('delta_bias')),
        delta_softplus=softplus,
    )
    torch.testing.assert_close(
        same, channels_first(y), rtol=1e-2 if y.dtype == torch.bfloat16 else 1e-4, atol=1e-4
    )


def test_random_scans(tally):
    done = explore(tally, SCAN_CASES, check_scan, 100, (1, 20, 300))
    tally.record(
        'Fuzz',
        'random scans, forward and backward',
        done,
        'finite, of the right shape and the same in both layouts, or the tensor named',
    )
