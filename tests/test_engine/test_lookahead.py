import copy

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from rsmamba_mm.engine import LookaheadAdamW

OPTIONS = dict(lr=0.1, weight_decay=0.01)


def gradient(model, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


def test_by_its_algorithm():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    other = copy.deepcopy(model)
    lookahead = LookaheadAdamW(model.parameters(), k=3, alpha=0.25, **OPTIONS)
    inner = torch.optim.AdamW(other.parameters(), **OPTIONS)
    slow = [p.detach().clone() for p in other.parameters()]
    for step in range(1, 11):
        for m, optimizer in ((model, lookahead), (other, inner)):
            gradient(m, step)
            optimizer.step()
        if step % 3 == 0:
            for s, p in zip(slow, other.parameters(), strict=True):
                s += 0.25 * (p.detach() - s)
                p.data.copy_(s)
        for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_resumes_between_two_syncs():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = LookaheadAdamW(model.parameters(), **OPTIONS)
    for step in range(7):
        gradient(model, step)
        optimizer.step()
    resumed = copy.deepcopy(model)
    again = LookaheadAdamW(resumed.parameters(), **OPTIONS)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(7, 17):
        for m, o in ((model, optimizer), (resumed, again)):
            gradient(m, step)
            o.step()
    for ours, theirs in zip(resumed.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_in_an_optimiser_wrapper_with_groups_and_idle_parameters():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    groups = [dict(params=model[0].parameters(), lr=1e-3), dict(params=model[1].parameters())]
    optimizer = LookaheadAdamW(groups, k=2, **OPTIONS)
    wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper', optimizer=optimizer))
    model[1].requires_grad_(False)
    before = [p.clone() for p in model[1].parameters()]
    for _ in range(4):
        wrapper.update_params(model(torch.randn(5, 3)).square().sum())
    assert all(torch.equal(a, b) for a, b in zip(before, model[1].parameters(), strict=True))
    assert wrapper.get_lr()['lr'] == [1e-3, 0.1]


def test_refusals():
    with pytest.raises(ValueError, match=r'alpha in \(0, 1\], got k=0, alpha=0.5'):
        LookaheadAdamW([torch.zeros(1)], k=0)
