import pytest
import torch
from golden import MORE, ROOT, state_of
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import ModelTester
from parity import assert_parity

from rsmamba_mm.errors import CheckpointError, OptionError
from rsmamba_mm.models.released import convert_released
from rsmamba_mm.models.released.systems import load_config
from rsmamba_mm.ops import make_orders

pytest.importorskip('mmpretrain')

import numpy as np
from mmpretrain.structures import DataSample

TINY = dict(embed_dims=16, num_layers=2)
RSMAMBA = dict(type='RSMamba', arch=dict(**TINY, feedforward_channels=32), img_size=64, patch_size=8)
CAUSAL = dict(path_type=['forward'], pe_type='sine', out_type='raw', out_indices=(0, 1))


def build(config: dict) -> torch.nn.Module:
    init_default_scope('mmpretrain')
    return MODELS.build(config)


def roma(backbone: dict | None = None, patch: int = 4, head: dict | None = None, **options):
    """A small RoMA for images of multiples of four patches."""
    if backbone is None or 'type' not in backbone:
        own = dict(type='ClusterMamba', mode='pretrain', arch=TINY, img_size=48, patch_size=patch)
        backbone = own | (backbone or {})
    neck = dict(type='RoMADecoder', in_channels=[16, 16], embed_dims=16, num_layers=2, num_heads=2)
    parts = dict(
        backbone=backbone,
        neck=neck | dict(patch_size=patch),
        head=dict(type='RoMAHead', patch_size=patch) | (head or {}),
    )
    return build(dict(type='RoMA', **parts) | options)


def arrays_of(name: str) -> dict:
    arrays = np.load(MORE / f'{name}.npz')
    return {k: torch.from_numpy(x) if x.dtype.kind != 'U' else x.tolist() for k, x in arrays.items()}


def sampled(x: torch.Tensor, arrays: dict, key: str) -> torch.Tensor:
    a, s, b, t = arrays[f'{key}_offset_stride'].tolist()
    return x[:, a::s, b::t]


def test_published_pretraining():
    """Encoder, predictions, the three losses and gradients, with the released marks and true ones."""
    tensors = state_of('RoMA_arm_tiny_pretrain')
    expected = arrays_of('RoMA_arm_tiny_pretrain')
    found = convert_released('roma', tensors | dict(pos_embed=torch.ones(1), mask=torch.ones(1)))
    assert found.left_out == ('pos_embed', 'mask')
    model = build(load_config(found.config).model)
    model.load_state_dict(found.state_dict)
    ramp = torch.linspace(-1, 1, 192)
    pixels = expected['x_u8_24'].repeat_interleave(8, 2).repeat_interleave(8, 3).float()
    images = pixels / 127.5 - 1 + ramp[:, None] / 2 + ramp / 4
    windows = expected['fixed/angle_mask'].bool()
    samples = [DataSample().set_mask(window) for window in windows]

    def near(x, key, like=None):
        error = (x - expected[key]).abs().max() / expected[f'{like or key}_mean_std'][1]
        assert error < 1e-4, f'{key}: {error:.1e} of the standard deviation'

    def predicted():
        turned = model._turned(samples, grid, images.device)
        with torch.no_grad():
            return turned, sampled(model.reconstruct(images, turned)[0][:, order][:, 16:], expected, 'pred')

    grid, order = model.layout(images)
    model.angle, model.head.block_loss = 'diagonal', 'released'
    turned, pixels = predicted()
    near(pixels, 'pred')
    with torch.no_grad():
        near(sampled(model.neck.tokens(model.encode(images, turned)), expected, 'enc'), 'enc')
    losses = model.loss(images, samples)
    sum(losses.values()).backward()
    assert sum(losses.values()).item() == pytest.approx(expected['loss'].item(), rel=1e-6)
    assert losses['loss_block'].item() * 10 == pytest.approx(
        expected['loss_block_released'].item(), rel=1e-6
    )
    norms = {ours: p.grad.norm().item() for ours, p in model.named_parameters()}
    ours_of = dict(zip(tensors, found.state_dict, strict=False))  # in the same order
    for name, norm in zip(expected['grad_names'], expected['grad_norms'].tolist(), strict=True):
        assert norms[ours_of[name]] == pytest.approx(norm, rel=1e-5), name
    model.head.block_loss = 'matched'
    with torch.no_grad():
        block = model.loss(images, samples)['loss_block'].item() * 10
    assert block == pytest.approx(expected['loss_block_matched'].item(), rel=1e-6)
    model.angle = 'window'
    near(predicted()[1], 'fixed/pred', 'pred')
    for model.head.block_loss in ('matched', 'pooled'):
        with torch.no_grad():
            losses = model.loss(images, samples)
        assert losses['loss_token'].item() == pytest.approx(expected['fixed/loss_token'].item(), rel=1e-6)
        block = expected[f'fixed/loss_block_{model.head.block_loss}'].item()
        assert losses['loss_block'].item() * 10 == pytest.approx(block, rel=1e-6)


def test_published_downstream(tmp_path):
    """Logits and class token, and the mean of the patches."""
    tensors, expected = state_of('RoMA_arm_192_downstream'), arrays_of('RoMA_arm_192_downstream')
    base = load_config('rsmamba_mm::_base_/models/clustermamba-t_released.py').filename
    (tmp_path / 'config.py').write_text(f'_base_ = {base!r}\nmodel = dict(backbone=dict(img_size=96))')
    found = convert_released('roma', tensors, str(tmp_path / 'config.py'))
    assert found.num_classes == 21
    cfg = Config.fromfile(tmp_path / 'config.py').model
    cfg.head.num_classes = 21
    for out_type, key in (('cls_token', 'features'), ('avg_featmap', 'features_pooled')):
        cfg.backbone.out_type = out_type
        model = build(cfg).eval()
        model.load_state_dict(found.state_dict)
        with torch.no_grad():
            features = model.extract_feat(expected['x'])
        assert (features[0] - expected[key]).abs().max() < 1e-4 * expected[key].std()
        if out_type == 'cls_token':
            error = (model.head(features) - expected['out']).abs().max() / expected['out_mean_std'][1]
            assert error < 1e-4
    del tensors['layers.3.mixer.D_c']
    with pytest.raises(
        OptionError, match=r'parameters of further scan orders are missing.*layers\.3\.mixer\.D_c'
    ):
        convert_released('roma', tensors, str(tmp_path / 'config.py'))


@pytest.mark.parametrize(
    ('config', 'whole', 'encoder'),
    [
        ('roma-t', 19_805_312, 5_219_520),
        ('roma-s', 36_442_112, 20_281_728),
        ('roma-b', 99_243_776, 79_934_208),
        ('roma-l', 303_722_720, 282_313_696),
        ('clustermamba-t_released', 5_809_758, 5_803_968),
        ('clustermamba-b_released', 84_285_726, 84_262_656),
        ('clustermamba-l_released', 296_041_470, 296_010_720),
    ],
)
def test_parameter_counts(config, whole, encoder):
    """Without the tables of positions, which are no parameters here."""
    cfg = load_config(f'rsmamba_mm::_base_/models/{config}.py').model
    if 'num_classes' in cfg.head:
        cfg.head.num_classes = 30
    with torch.device('meta'):
        model = build(cfg)
    assert sum(p.numel() for p in model.parameters()) == whole
    assert sum(p.numel() for p in model.backbone.parameters()) == encoder


@pytest.mark.parametrize('name', ['roma', 'cluster_mamba'])
def test_small_fixture_of_parity(name):
    assert_parity(name)


class TestClusterMamba(ModelTester):
    config = dict(type='ClusterMamba', arch=TINY, img_size=64)
    refusals = [
        (dict(arch='huge'), ValueError, r"ClusterMamba: unknown arch 'huge'\. Choose from: tiny, small, b"),
        (
            dict(arch=dict(embed_dims=8)),
            TypeError,
            'ClusterMamba: a custom arch is a dict of exactly embed',
        ),
        (dict(mode='train'), ValueError, "ClusterMamba: unknown mode 'train'. Choose from: pretrain, down"),
        (
            dict(mode='pretrain', orders=['forward', 'reverse']),
            ValueError,
            "mode='pretrain' scans one order without class tokens, since the next cluster is predicted",
        ),
        (dict(mode='pretrain', cls_position='middle'), ValueError, "cls_position='middle'. Leave them to"),
        (dict(orders=['spiral']), ValueError, "ClusterMamba: orders: unknown scan order 'spiral'"),
    ]

    def shapes(self, batch, size):
        return [(batch, 16)]


# in pre-training --------------------------------------------------------------------------------


@pytest.mark.parametrize('backbone', [{}, dict(RSMAMBA, **CAUSAL)], ids=['ClusterMamba', 'RSMamba'])
def test_no_cluster_sees_itself_or_a_later_one(backbone):
    """Nor its pixels where patches overlap: the gradient of a prediction ends before its cluster."""
    model = roma(backbone)
    side = 4 * model.stride[0]
    images = torch.randn(1, 3, 2 * side, 3 * side, requires_grad=True)
    predicted, counted = model.reconstruct(images)
    _, order = model.layout(images)
    assert predicted.shape == (1, 96, 3 * model.stride[0] ** 2) and counted.sum() == 80
    for cluster in range(1, 6):
        own = order[16 * cluster : 16 * (cluster + 1)]
        (gradient,) = torch.autograd.grad(predicted[:, own].square().sum(), images, retain_graph=True)
        reached = gradient.abs().sum((0, 1)).unflatten(0, (2, side)).unflatten(2, (3, side)).sum((1, 3))
        assert (reached.flatten() > 0).tolist() == [True] * cluster + [False] * (6 - cluster)


def test_marks_are_of_the_turned_patches():
    model = roma()
    images, mask = torch.randn(1, 3, 48, 48), torch.zeros(12, 12, dtype=torch.bool)
    mask[:, 4:6] = True
    with torch.no_grad():
        model.angle_embed.fill_(100.0)
        turned = model._turned([DataSample().set_mask(mask)], (12, 12), 'cpu')
        plain, marked = model.encode(images)[0], model.encode(images, turned)[0]
    changed = (plain != marked).flatten(2).any(2)[0]
    assert not changed[:16].any() and changed[16:32].any()  # the second cluster is the first that has some
    assert roma(angle='none').angle_embed is None
    with pytest.raises(
        ValueError, match=r'a mask of 9 turned patches, but the images have 12 × 12: set Adapt'
    ):
        model.loss(images, [DataSample().set_mask(torch.ones(9))])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(angle='up'), "RoMA: unknown angle 'up'. Choose from: window, diagonal, none"),
        (dict(cluster=0), 'RoMA: cluster must be a positive integer, got 0'),
        (
            dict(backbone=dict(mode='downstream')),
            'RoMA: ClusterMamba scans forward, reverse, column, column_re',
        ),
        (
            dict(backbone=dict(RSMAMBA, path_type='forward_reverse_gate')),
            "shows it the future. Set ClusterMamba's mode='pretrain', or RSMamba's path_type=",
        ),
        (
            dict(backbone=dict(RSMAMBA, **CAUSAL, cls_position='head')),
            'with 1 class tokens, but pre-training',
        ),
        (
            dict(backbone=dict(RSMAMBA, **CAUSAL, local_kernel=3)),
            'RoMA: RSMamba has a stem or a local_kernel, which look at the neighbours of a cluster',
        ),
        (
            dict(backbone=dict(out_type='featmap')),
            "RoMA: ClusterMamba must have out_type='raw', got 'featmap'",
        ),
        (
            dict(backbone=dict(out_indices=1)),
            r'RoMA: neck.in_channels is \[16, 16\], but must be \[16\], as',
        ),
        (dict(head=dict(patch_size=8)), 'RoMA: head.patch_size is 8, but must be 4, as the backbone says'),
        (dict(head=dict(block_loss='both')), "RoMAHead: unknown block_loss 'both'. Choose from: pooled"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        roma(**options)


@pytest.mark.parametrize(
    ('size', 'head', 'message'),
    [
        ((48, 40), {}, r'clusters of 4 × 4 patches are 16 × 16 px and do not divide images of 48 × 40 px'),
        ((16, 16), {}, r'images of 16 × 16 px have 1 cluster of 4 × 4 patches, too few tokens to predict'),
        ((32, 32), {}, r'blocks of 6 × 6 tokens do not divide the grid of 8 × 8: set head.block to a div'),
        (
            (32, 32),
            dict(block=8),
            r'each block of 8 × 8 tokens has some of the first cluster, on a grid of 8',
        ),
    ],
)
def test_refused_images(size, head, message):
    with pytest.raises(ValueError, match=message):
        roma(head=head).loss(torch.rand(1, 3, *size))


def test_cluster_order():
    (order,) = make_orders(['cluster'], 8, 12)
    assert order[:8].tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert order[[16, 47, 48]].tolist() == [4, 47, 48]
    (order,) = make_orders(['cluster'], 5, 6)  # smaller ones at the ends
    assert sorted(order.tolist()) == list(range(30)) and order[-6:].tolist() == [24, 25, 26, 27, 28, 29]


@pytest.mark.parametrize('angle', ['window', 'none'])
def test_published_formulation_gives_the_same(angle, monkeypatch):
    """The reference scan that the benchmark compares with, and its gradients."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools/analysis_tools'))
    from published.roma import published_roma

    model, images, results = roma(angle=angle).double(), torch.randn(1, 3, 48, 48).double(), []
    for loss in (model.loss, None):
        model.zero_grad()
        losses = (loss or published_roma(model))(images)
        sum(losses.values()).backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        results.append([*losses.values(), *grads])
    torch.testing.assert_close(*results)


# after it ---------------------------------------------------------------------------------------


def start(config: dict, path) -> torch.nn.Module:
    """A backbone as MMEngine starts it from a checkpoint of pre-training."""
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    model = build(dict(config, init_cfg=init_cfg))
    model.init_weights()
    return model.eval()


def test_four_orders_start_as_the_one(tmp_path):
    pretrained = roma()
    torch.save(dict(state_dict=pretrained.state_dict()), tmp_path / 'roma.pth')
    config = dict(type='ClusterMamba', arch=TINY, img_size=64, patch_size=4, out_type='featmap')
    model = start(config, tmp_path / 'roma.pth')
    shared = start(dict(config, layer_cfgs=dict(weight_sets=1)), tmp_path / 'roma.pth')
    assert model.layers[0].mixer.A_log.shape[0] == 4 * shared.layers[0].mixer.A_log.shape[0]
    x = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), shared(x))
    one, theirs = model.state_dict(), pretrained.backbone.state_dict()
    for part in one['layers.1.mixer.conv1d.weight'].chunk(4):
        assert torch.equal(part, theirs['layers.1.mixer.conv1d.weight'])
    token = start(dict(config, cls_position='middle', out_type='cls_token'), tmp_path / 'roma.pth')
    assert token.pos_embed[0, 128].abs().sum() == 0  # of the class token, which pre-training has not
    torch.testing.assert_close(token.pos_embed[:, :128], model.pos_embed[:, :128])


def test_three_paths_of_rsmamba_start_as_the_one(tmp_path):
    pretrained = roma(dict(RSMAMBA, **CAUSAL))
    torch.save(dict(state_dict=pretrained.state_dict()), tmp_path / 'roma.pth')
    for options in (
        dict(),
        dict(layer_cfgs=dict(weight_sets=3)),
        dict(pe_type='none', cls_position='head'),
    ):
        model = start(dict(RSMAMBA, **options), tmp_path / 'roma.pth')
        theirs = pretrained.backbone.state_dict()
        for name, x in model.state_dict().items():
            if name in theirs and name != 'of_pretraining':
                assert all(torch.equal(part, theirs[name]) for part in x.chunk(len(x) // len(theirs[name])))
        assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_checkpoints_of_another_mode_are_refused(tmp_path):
    other = build(dict(type='ClusterMamba', arch=TINY, img_size=48, patch_size=4)).state_dict()
    tensors = {f'backbone.{name}': x for name, x in other.items()}
    with pytest.raises(
        CheckpointError, match=r"was not pre-trained .*, or mode='downstream'.*along one scan order"
    ):
        roma().load_state_dict(tensors, strict=False)
    with pytest.raises(
        CheckpointError, match=r'the checkpoint is not of this ClusterMamba: .* shapes differ'
    ):
        build(dict(type='ClusterMamba', arch='tiny')).load_state_dict(roma().backbone.state_dict())
    again = roma()  # its own are resumed from
    again.load_state_dict(roma().state_dict())
