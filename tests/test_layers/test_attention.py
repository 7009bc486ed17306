"""Linear and channel attention: their formulas, written out, and their limits."""

import pytest
import torch
from torch import Tensor

from rsmamba_mm.layers import (
    ChannelSelfAttention,
    LinearAttention,
    PositionAttention,
    SharedChannelAttention,
)

KINDS = dict(
    linear=lambda: LinearAttention(16),
    position=lambda: PositionAttention(16),
    channel=ChannelSelfAttention,
    shared=SharedChannelAttention,
)


def build(kind: str) -> torch.nn.Module:
    """With a gate that is open."""
    module = KINDS[kind]()
    torch.nn.init.constant_(module.gamma, 0.5)
    return module


def pixel_by_pixel(q: Tensor, k: Tensor, v: Tensor, kind: str) -> Tensor:
    """Of one image, each output pixel from all others."""
    n, out = q.shape[1], torch.empty_like(v)
    for i in range(n):
        if kind == 'linear':
            q_i, keys = q[:, i] / q[:, i].norm(), k / k.norm(dim=0)
            weights, rest = 1 + q_i @ keys, n
        else:
            q_i, keys = (1 + q[:, i].exp()).log(), (1 + k.exp()).log()
            weights, rest = q_i @ keys, 0
        out[:, i] = (v * weights).sum(1) / (rest + q_i @ (keys.sum(1) + 1e-6))
    return out


@pytest.mark.parametrize('kind', ['linear', 'position'])
def test_attention_between_pixels_by_its_formula(kind):
    q, k, v = (torch.randn(2, channels, 15, dtype=torch.float64) for channels in (3, 3, 7))
    found = KINDS[kind]().attention(q, k, v)
    expected = torch.stack([pixel_by_pixel(*of_one, kind) for of_one in zip(q, k, v, strict=True)])
    torch.testing.assert_close(found, expected)


def test_attention_between_channels_by_its_formula():
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    energy = torch.einsum('bcn,bdn->bcd', x, x)
    expected = torch.einsum('bcd,bdn->bcn', (-energy).softmax(-1), x)
    torch.testing.assert_close(ChannelSelfAttention.attention(x), expected)

    q = x / x.norm(dim=1, keepdim=True)
    product = torch.einsum('bcn,bdn,bdm->bcm', x, q, q)
    sums = torch.einsum('bcn,bn->bc', q, q.sum(1) + 1e-6)
    expected = (x.sum(1, keepdim=True) + product) / (12 + sums[..., None])
    torch.testing.assert_close(SharedChannelAttention.attention(x), expected)


@pytest.mark.parametrize('kind', KINDS)
def test_a_closed_gate_leaves_the_map(kind):
    x = torch.randn(1, 16, 3, 5)
    assert torch.equal(KINDS[kind]()(x), x)
    assert not torch.equal(build(kind)(x), x)


@pytest.mark.parametrize('kind', KINDS)
def test_pixels_of_zeros_are_no_trouble(kind):
    module = build(kind)
    for name, p in module.named_parameters():
        if name.endswith('bias'):
            torch.nn.init.zeros_(p)
    x = torch.randn(1, 16, 4, 4)
    x[..., :2] = 0
    x.requires_grad_()
    y = module(x)
    y.square().sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert module(torch.zeros(1, 16, 4, 4)).isfinite().all()


@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize('kind', KINDS)
def test_half_precision_sums_in_single(kind, half):
    """Also where a sum over the pixels leaves the range of half precision."""
    module = build(kind)
    x = 40 + 4 * torch.randn(1, 16, 96, 96)
    with torch.autocast('cpu', dtype=half):
        found = module(x.to(half))
    assert found.dtype == half and found.isfinite().all()
    expected = module(x.to(half).float())
    assert (found.float() - expected).norm() < 0.02 * expected.norm()
