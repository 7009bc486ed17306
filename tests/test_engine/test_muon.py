"""Muon beside AdamW."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.optim import AdamW

from rsmamba_mm.engine import MuonAdamW
from rsmamba_mm.engine.muon import is_matrix, orthogonalized
from rsmamba_mm.layers import VSSBlock


@pytest.mark.parametrize('shape', [(16, 16), (8, 40), (40, 8)])
def test_singular_values_come_near_one(shape):
    given = torch.randn(shape)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    found = orthogonalized(given)
    assert found.shape == shape
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3 and values.max() < 1.3
    # the directions are those of the exact answer
    assert nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), 0) > 0.97
    assert not orthogonalized(torch.zeros(shape)).any()


def test_first_step_is_the_formula():
    weight = nn.Parameter(torch.randn(6, 3, 2, 2))
    before, weight.grad = weight.detach().clone(), torch.randn(6, 3, 2, 2)
    grad = weight.grad.clone()
    MuonAdamW([weight], lr=0.1, weight_decay=0.5, matrix_lr_mult=2.0).step()
    direction = orthogonalized(grad.flatten(1)).view_as(weight)  # of the first momentum, times 1.95
    expected = before * (1 - 0.2 * 0.5) - 0.2 * 0.2 * 12**0.5 * direction
    torch.testing.assert_close(weight.detach(), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(weight.grad, grad)  # as it was


def test_what_is_no_matrix_goes_as_in_adamw():
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((5,), (4, 1, 3, 3), (2, 3, 4))]
    theirs = copy.deepcopy(ours)
    optimizers = (MuonAdamW(ours, lr=0.1), AdamW(theirs, lr=0.1))
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert not is_matrix(a)
        torch.testing.assert_close(a, b)


def train(model: nn.Module, optimizer, steps: int, x: torch.Tensor) -> torch.Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - x.flip(-1)).square().mean()
        loss.backward()
        optimizer.step()
    return loss


def test_it_learns_and_resumes_exactly():
    x = torch.randn(32, 8)
    model = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))
    optimizer = MuonAdamW(model.parameters(), lr=0.02, weight_decay=0.0)
    train(model, optimizer, 5, x)
    other = copy.deepcopy(model)
    resumed = MuonAdamW(other.parameters(), lr=0.5)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    losses = [train(m, o, 60, x) for m, o in ((model, optimizer), (other, resumed))]
    assert losses[0] == losses[1] and losses[0] < 0.1


def test_closure():
    model, x = nn.Linear(4, 4), torch.randn(8, 4)
    optimizer = MuonAdamW(model.parameters(), lr=0.05)

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - x).square().mean()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses[-1] < losses[0]


def test_which_weights_are_matrices():
    model = nn.Module()
    model.block = VSSBlock(8)
    model.embed, model.conv_seg = nn.Conv2d(3, 8, 4), nn.Conv2d(8, 5, 1)
    model.extra = nn.Linear(8, 8)
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='MuonOptimWrapperConstructor',
            optimizer=dict(type='MuonAdamW', lr=1e-3),
            paramwise_cfg=dict(adamw_keys=['extra']),
        ),
    )
    names = {id(p): name for name, p in model.named_parameters()}
    matrices = {names[id(g['params'][0])] for g in wrapper.optimizer.param_groups if g['muon']}
    assert {'embed.weight', 'block.op.in_proj.weight', 'block.op.out_proj.weight'} <= matrices
    assert not [name for name in matrices if 'A_log' in name or 'conv2d' in name or name.endswith('bias')]
    assert not matrices & {'conv_seg.weight', 'extra.weight'}


@pytest.mark.parametrize('bad', [dict(momentum=1.0), dict(momentum=-0.1), dict(matrix_lr_mult=0)])
def test_bad_options(bad):
    with pytest.raises(ValueError, match=r'MuonAdamW: momentum is in \[0, 1\) and matrix_lr_mult positive'):
        MuonAdamW([nn.Parameter(torch.zeros(2, 2))], **bad)
