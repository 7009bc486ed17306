"""AFM-Net: the published outputs, sizes, losses and errors."""

import re

import pytest
import torch
from golden import ROOT, expected_of, state_of
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from model_tester import ModelTester

from rsmamba_mm.errors import OptionError
from rsmamba_mm.layers.experts import Experts
from rsmamba_mm.layers.rope import rotary_angles, rotate
from rsmamba_mm.layers.rotary_mamba import RotaryMambaBlock
from rsmamba_mm.models.backbones import afmnet
from rsmamba_mm.models.released import convert_released
from rsmamba_mm.models.released.systems import model_of

SMALL = 'afmnet/afmnet-mini_ucmerced-128px.py'
PUBLISHED = [
    ('AFMNet_released_moe', 'afmnet/afmnet-released_ucmerced.py', 245_597_961),
    ('AFMNet_dense_moe8', 'afmnet/afmnet-dense-moe8_ucmerced.py', 50_581_833),
]


@pytest.mark.slow
def test_other_experts_convert_with_the_config_of_their_model(tmp_path):
    tensors = state_of('AFMNet_dense_moe8')
    gate = 'fusion_moe_layer.gate.gate_proj.weight'
    tensors[gate] = tensors[gate][:4]
    tensors = {name: x for name, x in tensors.items() if not re.search(r'experts\.[4-7]\.', name)}
    with pytest.raises(OptionError, match='no config of this package has this variant of afmnet: give'):
        convert_released('afmnet', tensors)
    config = tmp_path / 'four.py'
    base = ROOT / 'configs/_base_/models/afmnet_dense-moe8.py'
    config.write_text(f"_base_ = '{base}'\nmodel = dict(head=dict(num_experts=4))\n")
    converted = convert_released('afmnet', tensors, str(config))
    model_of(converted).load_state_dict(converted.state_dict, assign=True)
    del tensors['fusion_moe_layer.experts.3.w2.weight']
    with pytest.raises(OptionError, match=r'a gate of 4 experts lacks head\.experts\.routed\.3\.w2'):
        convert_released('afmnet', tensors)


class TestAFMNet(ModelTester):
    config = dict(
        type='AFMNet',
        cnn=dict(
            type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(1, 2, 3)
        ),
        cnn_channels=(16, 32, 64),
        embed_dims=16,
        num_layers=3,
        mamba_indices=(0, 1, 2),
        channels=8,
        planes=(4, 4, 4),
        aggregation='dense',
        img_size=64,
    )
    sizes = [(64, 64), (75, 50)]
    half_error = 0.1  # batch normalisation over few pixels

    def shapes(self, batch, size):
        return [(batch, 48)]


def small(**backbone):
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs' / SMALL).model
    cfg.backbone.update(backbone)
    return MODELS.build(cfg)


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'config', 'parameters'), PUBLISHED)
def test_gives_the_published_logits(name, config, parameters, monkeypatch):
    converted = convert_released('afmnet', state_of(name))
    assert converted.config == f'rsmamba_mm::{config}'
    assert {'mamba_branch.norm_f.weight', 'cnn_backbone.fc.weight'} <= set(converted.left_out)
    image, arrays = expected_of(name)
    shuffles = arrays['perms'].long()
    place = torch.arange(shuffles.shape[1]).expand_as(shuffles)
    orders = torch.stack([place, place.flip(-1), shuffles], 1)
    monkeypatch.setattr(afmnet, 'block_orders', lambda *args: orders)
    model = model_of(converted)
    model.load_state_dict(converted.state_dict, assign=True)
    assert sum(p.numel() for p in model.parameters()) == parameters
    with torch.no_grad():
        logits = model.eval()(image)
    error = (logits - arrays['out']).abs().max() / arrays['out_mean_std'][1]
    assert error < 1e-4, f'{name}: {error:.1e} of the standard deviation'


@pytest.mark.parametrize('size', [(33, 47), (64, 96)])
def test_takes_any_size_and_repeats_itself(size):
    model = small().eval()
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        logits = model(image)
        assert logits.shape == (1, 21) and logits.isfinite().all()
        torch.testing.assert_close(model(image), logits, rtol=0, atol=0)


@pytest.mark.parametrize('with_cp', [False, True])
def test_every_parameter_learns_from_mixed_labels(with_cp):
    model = small(with_cp=with_cp, aggregation='dense').train()
    samples = [DataSample().set_gt_score(torch.rand(21).softmax(0)) for _ in range(2)]
    losses = model.loss(torch.randn(2, 3, 64, 64), samples)
    assert set(losses) == {'loss', 'loss_balance'}
    sum(losses.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_routed_experts_alone_give_the_same():
    experts = small().head.experts
    x = torch.randn(3, 96)
    torch.testing.assert_close(experts.eval()(x), experts.train()(x))


def test_scalar_product_of_turned_tokens_follows_their_distance():
    angles = rotary_angles(5, 6, 8).unflatten(0, (5, 6))
    q, k = torch.randn(2, 1, 8)

    def product(a, b):
        return (rotate(q, angles[a][None]) * rotate(k, angles[b][None])).sum()

    torch.testing.assert_close(product((0, 1), (2, 3)), product((2, 2), (4, 4)))


def test_a_block_is_a_plain_mamba_along_each_path():
    """Written out path by path, with the rotary embedding as products of complex numbers."""
    block, x = RotaryMambaBlock(16, 3).double(), torch.randn(2, 13, 16, dtype=torch.float64)
    frequencies = 10000.0 ** (-torch.arange(4, dtype=torch.float64) / 4)
    turns = torch.ones(13, 8, dtype=torch.complex128)  # the first place is not turned
    for place in range(12):
        angles = torch.cat([n * frequencies for n in divmod(place, 4)])
        turns[place + 1] = torch.polar(torch.ones_like(angles), angles)
    place = torch.arange(13)
    orders = torch.stack([place, place.flip(0), torch.randperm(13)])
    outs = []
    for order in orders:
        pairs = torch.view_as_complex(x[:, order].unflatten(-1, (-1, 2)))
        path = torch.view_as_real(pairs * turns).flatten(-2)
        outs.append((path + block.mixer(block.norm(path), place[None]))[:, order.argsort()])
    weights = block.gate(torch.cat([out.mean(1) for out in outs], 1)).softmax(-1)
    expected = sum(weights[:, k, None, None] * out for k, out in enumerate(outs))
    angles = torch.nn.functional.pad(rotary_angles(3, 4, 16), (0, 0, 1, 0))
    torch.testing.assert_close(block(x, orders, angles), expected, rtol=1e-5, atol=1e-6)


def test_experts_one_by_one_and_their_balance():
    experts, x = Experts(12, 7, 8, 2, 3).double(), torch.randn(2, 12, dtype=torch.float64)

    def glu(one, w1, w2, w3):
        return w2 @ (torch.nn.functional.silu(w1 @ one) * (w3 @ one))

    expected, share = [], torch.zeros(7, dtype=torch.float64)
    for one in x:
        p = experts.gate(one).softmax(-1)
        y = glu(one, experts.shared_w1, experts.shared_w2, experts.shared_w3)
        for e in p.argsort(descending=True)[:3]:
            y = y + p[e] * glu(one, experts.w1[e], experts.w2[e], experts.w3[e])
            share[e] += 0.5
        expected.append(y)
    y, balance = experts(x)
    torch.testing.assert_close(y, torch.stack(expected), rtol=1e-5, atol=1e-6)
    even = 7 * (share * experts.gate(x).softmax(-1).mean(0)).sum()
    torch.testing.assert_close(balance.double(), even, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(aggregation='sum'), 'unknown aggregation'),
        (dict(mamba_indices=(0, 1, 2)), 'end with the last block'),
        (dict(embed_dims=50), 'multiple of 4'),
        (dict(planes=(4,)), 'planes are of'),
    ],
)
def test_refuses_unfit_options(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_head_refuses_more_active_experts_than_there_are():
    with pytest.raises(ValueError, match='topk must be at most'):
        MODELS.build(dict(type='MoEClsHead', num_classes=2, in_channels=8, num_experts=2, topk=3))
