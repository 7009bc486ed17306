"""AFM-Net: the published outputs, sizes, losses and errors."""

import pytest
import torch
from golden import ROOT, expected_of, state_of
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

from rsmamba_mm.layers.rope import rotary_angles, rotate
from rsmamba_mm.models.backbones import afmnet
from rsmamba_mm.models.released import convert_released
from rsmamba_mm.models.released.systems import model_of

SMALL = 'afmnet/afmnet-mini_ucmerced-128px.py'
PUBLISHED = [
    ('AFMNet_released_moe', 'afmnet/afmnet-released_ucmerced.py', 245_597_961),
    ('AFMNet_dense_moe8', 'afmnet/afmnet-dense-moe8_ucmerced.py', 50_581_833),
]


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
