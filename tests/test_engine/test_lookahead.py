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


@pytest.mark.parametrize('k', [1, 3])
def test_syncs_follow_the_first_step_and_every_kth_from_there(k):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    other = copy.deepcopy(model)
    lookahead = LookaheadAdamW(model.parameters(), k=k, alpha=0.25, **OPTIONS)
    inner = torch.optim.AdamW(other.parameters(), **OPTIONS)
    for step in range(1, 12):
        for m, optimizer in ((model, lookahead), (other, inner)):
            gradient(m, step)
            optimizer.step()
        if step == 1:
            slow = [p.detach().clone() for p in other.parameters()]
        elif step % k == 1 % k:
            for s, p in zip(slow, other.parameters(), strict=True):
                s += 0.25 * (p.detach() - s)
                p.data.copy_(s)
        for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_the_first_sync_changes_nothing():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    plain = copy.deepcopy(model)
    for m, kind in ((model, LookaheadAdamW), (plain, torch.optim.AdamW)):
        optimizer = kind(m.parameters(), **OPTIONS)
        for step in range(1, 7):
            gradient(m, step)
            optimizer.step()
            if step == 5:
                m.at_five = [p.detach().clone() for p in m.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(model.at_five, plain.at_five, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize('first', [2, 3, 4, 5])
def test_a_late_gradient_starts_from_the_initial_value(first):
    late, early = (nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = LookaheadAdamW([early, late], k=3, lr=0.1, weight_decay=0)
    fast = slow = 1.0
    for step in range(1, 8):
        early.grad = torch.ones(2)
        if step >= first:
            late.grad = torch.ones(2)
            fast -= 0.1  # with equal gradients a step of Adam is the rate
        optimizer.step()
        if step in (4, 7):
            fast = slow = (fast + slow) / 2
        torch.testing.assert_close(late.detach(), torch.full((2,), fast))
    torch.testing.assert_close(early.detach(), torch.full((2,), 0.6))  # 0.9, 0.75, 0.6 at the syncs


def test_gradients_by_a_closure_and_a_group_added_later():
    p, q = (nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = LookaheadAdamW([p], k=2, lr=0.1, weight_decay=0)

    def closure():
        optimizer.zero_grad()
        loss = (p + q).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4
    optimizer.add_param_group(dict(params=[q]))
    for _ in range(2):
        optimizer.step(closure)
    torch.testing.assert_close(p.detach(), torch.full((2,), 0.8))  # 0.9, then half of the way to 0.7
    torch.testing.assert_close(q.detach(), torch.full((2,), 0.8))  # its own third step is the next sync
    optimizer.step(closure)
    torch.testing.assert_close(q.detach(), torch.full((2,), 0.8))  # 0.9, then half of the way to 0.7


@pytest.mark.parametrize('steps', [1, 5, 6, 8])
def test_resumes_between_two_syncs(steps):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = LookaheadAdamW(model.parameters(), **OPTIONS)
    for step in range(steps):
        gradient(model, step)
        optimizer.step()
    resumed = copy.deepcopy(model)
    again = LookaheadAdamW(resumed.parameters(), **OPTIONS)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(steps, 20):
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
