from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import save_checkpoint
from model_tester import ModelTester

from rsmamba_mm.models import RSMamba
from rsmamba_mm.models.complexity import count_operations

DATA = Path(__file__).parents[1] / 'data'
TINY = dict(embed_dims=32, num_layers=3, feedforward_channels=64)


def tiny(**options) -> RSMamba:
    return RSMamba(**{**dict(arch=TINY, img_size=64), **options})


@pytest.mark.parametrize(
    ('arch', 'parameters'), [('base', 6_377_088), ('large', 16_241_152), ('huge', 33_046_400)]
)
def test_parameter_count(arch, parameters):
    with torch.device('meta'):
        model = RSMamba(arch)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('rsmamba_gate3', {}),
        ('rsmamba_cls_middle', dict(cls_position='middle', out_type='cls_token')),
        ('rsmamba_forward', dict(path_type='forward')),
    ],
)
def test_published_outputs_and_gradients(name, options, monkeypatch):
    golden = {key: torch.from_numpy(value) for key, value in np.load(DATA / f'{name}.npz').items()}
    model = tiny(**options)
    state_dict = {k[3:]: v for k, v in golden.items() if k.startswith('sd/')}
    model.load_state_dict(state_dict)
    permutations = iter(golden['perms'])
    monkeypatch.setattr(torch, 'randperm', lambda length: next(permutations))
    x = golden['x'].requires_grad_()
    (y,) = model(x)
    y.backward(golden['cotangent'])

    def relative(ours, theirs):
        return ((ours - theirs).norm() / theirs.norm()).item()

    assert relative(y, golden['y']) < 1e-5
    assert relative(x.grad, golden['grad_x']) < 1e-4
    gradients = {k[5:]: v for k, v in golden.items() if k.startswith('grad/')}
    assert {'pos_embed', 'patch_embed.projection.weight', 'layers.0.A_log'} <= set(gradients)
    for key, gradient in gradients.items():
        assert relative(model.get_parameter(key).grad, gradient) < 1e-4, key


class TestRSMamba(ModelTester):
    config = dict(type='RSMamba', arch=TINY, img_size=64)
    sizes = [(64, 64), (100, 72)]
    refusals = [
        (dict(arch='tiny'), ValueError, r"unknown arch 'tiny'\. Choose from: small, base, large, huge, s"),
        (
            dict(layer_cfgs=dict(hidden_act='gelu')),
            ValueError,
            "hidden_act='gelu', but the mixer has SiLU: leave",
        ),
        (
            dict(layer_cfgs=dict(hidden_size=5)),
            ValueError,
            "hidden_size=5, but it is the arch's embed_dims",
        ),
        (dict(arch=dict(embed_dims=32)), TypeError, 'exactly embed_dims, feedforward_channels, num_'),
        (dict(arch={**TINY, 'num_heads': 4}), TypeError, 'a custom arch is a dict of exactly'),
        (dict(arch={**TINY, 'num_layers': 0}), ValueError, 'num_layers must be a positive integer'),
        (dict(path_type='reverse_gate'), ValueError, 'unknown path_type .* forward_reverse_gate'),
        (dict(path_type=['forward', 'spiral']), ValueError, "unknown scan order 'spiral'. Known ord"),
        (dict(path_type=dict(order=['forward'])), TypeError, "has the keys 'orders' and"),
        (dict(cls_position='center'), ValueError, 'Choose from: none, head, middle, tail, head_tail'),
        (dict(pe_type='fourier'), ValueError, 'Choose from: learnable, sine, none'),
        (dict(out_type='map'), ValueError, 'Choose from: avg_featmap, cls_token, featmap, raw'),
        (dict(out_type='cls_token'), ValueError, 'needs a class token: set cls_position'),
        (dict(out_indices=3), ValueError, r'out_indices has 3, but the blocks are 0 … 2'),
        (dict(frozen_stages=4), ValueError, r'frozen_stages must be in -1 … 3, got 4'),
        (dict(eval_shuffles=0), ValueError, 'eval_shuffles must be at least 1'),
        (dict(layer_cfgs=dict(scan='none')), ValueError, 'Choose from: selective, identity, conv'),
        (dict(layer_cfgs=dict(d_sate=8)), TypeError, "unknown option 'd_sate' in layer_cfgs. Known"),
        (dict(layer_cfgs=dict(d_state=0)), ValueError, 'd_state must be a positive integer, got 0'),
        (dict(layer_cfgs=[dict()]), ValueError, 'lists 1 layers, the arch has 3'),
        (dict(drop_pathrate=0.1), TypeError, 'drop_pathrate'),
        (dict(in_channels=0), ValueError, 'RSMamba: in_channels must be a positive integer, got 0'),
        (dict(img_size=(0, 8)), ValueError, r'img_size must be a positive integer, or two .* got \(0, 8\)'),
        (dict(drop_path_rate=1.0), ValueError, r'drop_path_rate must be a number in \[0, 1\), got 1.0'),
        (dict(out_indices=(0, 0)), ValueError, r'out_indices names a block twice: \[0, 0\]'),
        (
            dict(interpolate_mode='cubic'),
            ValueError,
            "unknown interpolate_mode 'cubic'. Choose from: nearest",
        ),
        (dict(shuffle_seed=0.5), ValueError, 'shuffle_seed must be an integer of 62 bits, got 0.5'),
        (dict(norm_cfg=dict(type='No')), ValueError, "RSMamba: norm_cfg={'type': 'No'} is refused"),
        (dict(patch_cfg=dict(stride=0)), ValueError, "RSMamba: patch_cfg={'stride': 0} is refused"),
        (dict(layer_cfgs=['x']), ValueError, 'layer_cfgs is a dict, or a list of one for each block'),
        (dict(layer_cfgs=dict(dt_min=0.5)), ValueError, 'which takes 0 < dt_min <= dt_max, got dt_min=0.5'),
        (dict(pe_type='sine', arch={**TINY, 'embed_dims': 30}), ValueError, 'multiple of 4, got 30'),
    ]

    def shapes(self, batch, size):
        return [(batch, 32)]


class TestRSMambaForSmallData(ModelTester):
    config = dict(
        type='RSMamba',
        arch=TINY,
        img_size=64,
        stem=dict(widths=(8, 16, 24), depths=(0, 1, 0)),
        local_kernel=3,
        cls_position='middle',
        out_type='featmap',
    )
    sizes = [(64, 64), (100, 72)]
    refusals = [
        (dict(patch_cfg=dict(stride=8)), ValueError, 'RSMamba: a stem takes the place of the patches'),
        (dict(stem=dict(width=(8,))), ValueError, r"RSMamba: stem={'width': \(8,\)} is refused"),
        (dict(stem=dict(widths=())), ValueError, 'ConvStem: widths lists one or more integers, each 1 or'),
        (dict(stem=dict(depths=(1, 1))), ValueError, 'ConvStem: depths lists 3 integers, each 0 or more'),
        (dict(stem=dict(act_cfg=dict(type='No'))), ValueError, 'ConvStem: norm_cfg or act_cfg=.* refused'),
        (dict(local_kernel=2), ValueError, 'LocalMix: kernel_size must be odd, got 2'),
        (dict(local_kernel=-1), ValueError, 'LocalMix: kernel_size must be a positive integer, got -1'),
    ]

    def shapes(self, batch, size):
        return [(batch, 32, -(-size[0] // 8), -(-size[1] // 8))]


IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    'path_type',
    [
        'forward',
        'forward_reverse_mean',
        'forward_reverse_gate',
        'forward_reverse_shuffle_mean',
        'forward_reverse_shuffle_gate',
        ['forward', 'column'],
        ['shuffle', 'shuffle', 'snake', 'column_reverse'],
        dict(orders=['forward', 'reverse', 'column', 'column_reverse'], merge='mean'),
    ],
    ids=str,
)
def test_path_types(path_type):
    model = tiny(path_type=path_type)
    (y,) = model(IMAGES)
    y.sum().backward()
    assert y.shape == (2, 32)
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


@pytest.mark.parametrize('cls_position', ['none', 'head', 'tail', 'head_tail', 'middle'])
@pytest.mark.parametrize('pe_type', ['learnable', 'sine', 'none'])
@pytest.mark.parametrize('size', [(64, 64), (48, 80), (100, 72)])
def test_class_tokens_positions_and_sizes(cls_position, pe_type, size):
    images = torch.rand(1, 3, *size)
    tokens = -(-size[0] // 8) * -(-size[1] // 8)
    num_cls = {'none': 0, 'head_tail': 2}.get(cls_position, 1)
    shapes = dict(
        avg_featmap=(1, 32),
        featmap=(1, 32, -(-size[0] // 8), -(-size[1] // 8)),
        raw=(1, tokens + num_cls, 32),
    )
    if num_cls:
        shapes['cls_token'] = (1, 32)
    for out_type, shape in shapes.items():
        model = tiny(cls_position=cls_position, pe_type=pe_type, out_type=out_type)
        model.init_weights()
        (y,) = model(images)
        assert y.shape == shape
        assert y.isfinite().all()


@pytest.mark.parametrize('cls_position', ['head', 'tail', 'head_tail', 'middle'])
@pytest.mark.parametrize('size', [64, 72])
def test_class_tokens_are_read_where_they_were_put(cls_position, size):
    """Without blocks in between, what is read is the class token with its own position."""
    options = dict(cls_position=cls_position, final_norm=False)
    model = tiny(out_type='cls_token', **options)
    torch.nn.init.normal_(model.cls_token)
    model._block = lambda x, orders, i: x
    (y,) = model(torch.rand(1, 3, size, size))
    slots = model._cls_slots(64)
    expected = (model.cls_token + model.pos_embed[:, slots]).mean(1)
    torch.testing.assert_close(y, expected)


def test_feature_maps_of_several_blocks():
    model = tiny(out_type='featmap', out_indices=(0, -2, 2))
    outs = model(IMAGES)
    assert [out.shape for out in outs] == [(2, 32, 8, 8)] * 3


def test_grid_position_of_feature_map():
    """The feature map keeps the image's layout: a change in one corner shows most there."""
    model = tiny(out_type='featmap', path_type='forward', cls_position='head').eval()
    changed = IMAGES.clone()
    changed[:, :, :8, 56:] += 1
    difference = (model(IMAGES)[0] - model(changed)[0]).abs().sum((0, 1))
    row, column = divmod(int(difference.argmax()), 8)
    assert (row, column) in {(0, 6), (0, 7)}


def test_bands_stem_and_state_size_are_free():
    model = tiny(
        in_channels=5,
        patch_size=(8, 12),
        patch_cfg=dict(stride=8),
        layer_cfgs=dict(state_size=4, conv_kernel=3, use_bias=True),
        shared_pre_norm=False,
    )
    assert model.layers[0].A_log.shape == (64, 4)
    assert model(torch.rand(1, 5, 64, 64))[0].shape == (1, 32)


def test_evaluation_repeats_and_training_shuffles():
    model = tiny()
    assert not torch.equal(model(IMAGES)[0], model(IMAGES)[0])
    model.eval()
    with torch.no_grad():
        first = model(IMAGES)[0]
        torch.manual_seed(99)
        assert torch.equal(first, model(IMAGES)[0])
        assert torch.equal(first, _copy(model)(IMAGES)[0])
        assert not torch.equal(first, _copy(model, shuffle_seed=1)(IMAGES)[0])
    assert not [key for key in model.state_dict() if 'shuffle' in key]


def test_averaging_over_shuffles():
    model = tiny().eval()
    with torch.no_grad():
        draws = [_copy(model, shuffle_seed=seed)(IMAGES)[0] for seed in range(3)]
        averaged = _copy(model, eval_shuffles=3)(IMAGES)[0]
    torch.testing.assert_close(averaged, torch.stack(draws).mean(0))


def test_shuffles_replay_from_torch_seed():
    """One randperm a block, in block order."""
    model = tiny()
    torch.manual_seed(7)
    replay = [torch.randperm(64) for _ in range(3)]
    torch.manual_seed(7)
    orders = model._block_orders((8, 8), torch.device('cpu'))
    assert torch.equal(orders[:, 2], torch.stack(replay))


def test_shared_projections_equal_the_plain_formula():
    """in_proj and out_proj once, not once a path, changes nothing: Sec. III-C as it is written."""
    model = tiny().double()
    block, gate = model.layers[0], model.gate_layers[0]
    v = torch.randn(2, 64, 32, dtype=torch.float64)
    orders = model._block_orders((8, 8), torch.device('cpu'))[0]
    identity = torch.arange(64)[None]
    outs = []
    for order in orders:
        out = torch.empty_like(v)
        out[:, order] = block(v[:, order], identity)
        outs.append(out)
    g = gate(torch.cat([out.mean(1) for out in outs], -1))
    expected = sum(g[:, k, None, None] * out for k, out in enumerate(outs))
    torch.testing.assert_close(block(v, orders, gate), expected)


@pytest.mark.parametrize('scan', ['identity', 'conv'])
def test_controls_differ_in_the_scan_alone(scan):
    torch.manual_seed(0)
    model = tiny(path_type='forward', layer_cfgs=dict(scan=scan))
    mixer, published = model.layers[0], tiny(path_type='forward')
    u, z = mixer.in_proj(x := torch.randn(2, 20, 32)).chunk(2, -1)
    taps = mixer.conv1d.weight.shape[-1]
    u = F.conv1d(F.pad(u.mT, (taps - 1, 0)), mixer.conv1d.weight, mixer.conv1d.bias, groups=64).mT
    expected = mixer.out_proj(F.silu(u) * F.silu(z))
    torch.testing.assert_close(mixer(x, torch.arange(20)[None]), expected)
    names, whole = (
        {name.partition('layers.')[2][2:] for name in net.state_dict()} for net in (model, published)
    )
    assert whole - names == {'x_proj.weight', 'dt_proj.weight', 'dt_proj.bias', 'A_log', 'D'}
    if scan == 'conv':
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in published.parameters())


def test_gradient_checkpointing_changes_nothing():
    model = tiny()
    results = []
    for with_cp in (False, True):
        model.with_cp = with_cp
        model.zero_grad()
        torch.manual_seed(0)
        (y,) = model(IMAGES)
        y.square().sum().backward()
        results.append([y, *(p.grad.clone() for p in model.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_frozen_stages():
    model = tiny(frozen_stages=2)
    model.train()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {'pos_embed', 'patch_embed.projection.weight', 'pre_norm.weight'} <= frozen
    assert all(p.requires_grad for p in model.layers[2].parameters())
    assert not any(p.requires_grad for block in model.layers[:2] for p in block.parameters())
    assert not model.layers[1].training and model.layers[2].training
    model(IMAGES)[0].sum().backward()


def test_stochastic_depth():
    model = tiny(drop_path_rate=1.0 - 1e-9, path_type='forward', final_norm=False, out_type='raw')
    torch.manual_seed(0)
    first_only = _copy(model, out_indices=0)
    assert len(list(model.drop_paths)) == 3
    model.layers[1] = torch.nn.Identity()
    model.layers[1].forward = lambda v, orders, gate: torch.zeros_like(v)
    torch.testing.assert_close(model(IMAGES)[0], first_only(IMAGES)[0])


def test_initial_steps_survive_the_models_own_initialisation():
    model = RSMamba(
        arch=TINY, img_size=64, init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0)
    )
    model.init_weights()
    for block in model.layers:
        steps = torch.nn.functional.softplus(block.dt_proj.bias)
        assert steps.min() >= 1e-4 and steps.max() <= 0.1001
        assert steps.max() / steps.min() > 5
        torch.testing.assert_close(block.A_log.exp()[5], torch.arange(1.0, 17.0))
        assert block.dt_proj.weight.abs().max() > 0.3
        assert block.in_proj.weight.std() < 0.025
    assert 0.015 < model.pos_embed.std() < 0.025


def test_layer_depths_for_learning_rate_decay():
    model = tiny()
    depths = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')[0]
        for name, _ in model.named_parameters()
    }
    assert depths['pos_embed'] == depths['patch_embed.projection.weight'] == 0
    assert depths['layers.0.A_log'] == depths['gate_layers.0.0.weight'] == 1
    assert depths['layers.2.A_log'] == 3
    assert depths['ln2.weight'] == 4
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


def test_base_runs_at_other_sizes():
    model = RSMamba('b').eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 96, 64))[0].shape == (1, 192)


# checkpoints ------------------------------------------------------------------------------------


def _copy(model, **options):
    """The same weights in a model of the same architecture with other options."""
    copy = tiny(**{**dict(out_type=model.out_type, path_type=list(model.orders)), **options})
    copy.final_norm = model.final_norm
    copy.load_state_dict(model.state_dict(), strict=False)
    return copy.train(model.training)


def released_checkpoint(path, arch):
    """A file as the released trainer leaves it: names, shapes and envelope; random weights."""
    C, E, R, K, N = arch['embed_dims'], arch['feedforward_channels'], arch['embed_dims'] // 16, 3, 16
    shapes = {'pos_embed': (1, 64, C), 'patch_embed.projection.weight': (C, 3, 16, 16)}
    for i in range(arch['num_layers']):
        shapes |= {
            f'layers.{i}.A_log': (E, N),
            f'layers.{i}.D': (E,),
            f'layers.{i}.conv1d.weight': (E, 1, 4),
            f'layers.{i}.conv1d.bias': (E,),
            f'layers.{i}.in_proj.weight': (2 * E, C),
            f'layers.{i}.x_proj.weight': (R + 2 * N, E),
            f'layers.{i}.dt_proj.weight': (E, R),
            f'layers.{i}.dt_proj.bias': (E,),
            f'layers.{i}.out_proj.weight': (C, E),
            f'gate_layers.{i}.0.weight': (K, K * C),
        }
    for norm in ('pre_norm', 'ln1', 'ln2'):
        shapes |= {f'{norm}.weight': (C,), f'{norm}.bias': (C,)}
    state_dict = {f'backbone.{name}': torch.randn(shape) for name, shape in shapes.items()}
    state_dict |= {'head.fc.weight': torch.randn(21, C), 'head.fc.bias': torch.randn(21)}
    save_checkpoint(dict(meta=dict(epoch=500), state_dict=state_dict), str(path))
    return state_dict


@pytest.fixture
def released(tmp_path):
    return tmp_path / 'epoch_500.pth', released_checkpoint(tmp_path / 'epoch_500.pth', TINY)


def classifier(**backbone):
    mmpretrain = pytest.importorskip('mmpretrain.models')
    init_default_scope('mmpretrain')  # other tests build mmseg's models
    return mmpretrain.ImageClassifier(
        backbone=dict(type='RSMamba', **{**dict(arch=TINY, img_size=64), **backbone}),
        head=dict(type='LinearClsHead', num_classes=21, in_channels=32),
    )


def test_released_checkpoint_loads_as_it_is(released):
    path, state_dict = released
    model = classifier()
    load_checkpoint(model, str(path), strict=True)
    for name, tensor in model.state_dict().items():
        if name in state_dict:
            assert torch.equal(tensor, state_dict[name]), name


def test_checkpoint_at_another_image_size(released):
    path, state_dict = released
    model = classifier(img_size=96)
    load_checkpoint(model, str(path), strict=True)
    assert model.backbone.pos_embed.shape == (1, 144, 32)
    corner = state_dict['backbone.pos_embed'][0, 0]
    similarity = torch.cosine_similarity(model.backbone.pos_embed[0, 0], corner, dim=0)
    assert similarity > 0.8


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch={**TINY, 'num_layers': 4}), r'layers\.3\.A_log: not in the checkpoint'),
        (dict(arch={**TINY, 'num_layers': 2}), r'layers\.2\.A_log: only in the checkpoint'),
        (dict(in_channels=4), r'projection\.weight: \(32, 3, 16, 16\) in the checkpoint, \(32, 4'),
        (dict(path_type='forward'), r'gate_layers\.0\.0\.weight: only in the checkpoint'),
    ],
    ids=['deeper', 'shallower', 'bands', 'paths'],
)
def test_checkpoint_of_another_architecture_is_refused(released, options, message):
    with pytest.raises(RuntimeError, match=message):
        load_checkpoint(classifier(**options), str(released[0]))


# tools of MMEngine and PyTorch ------------------------------------------------------------------


def test_mmengine_counts_the_scan():
    from mmengine.analysis import FlopAnalyzer

    counts = FlopAnalyzer(tiny().eval(), IMAGES[:1]).by_operator()
    scans = 3 * 3 * 64 * 64 * (9 * 16 + 1)  # blocks, paths, tokens, channels
    assert counts['scan'] == scans
    assert counts['conv1d'] == 3 * 3 * 64 * 64 * 4
    in_and_out, x_and_dt = 3 * 64 * 32 * (128 + 64), 9 * 64 * 64 * (2 + 32 + 2)
    pooled_and_gate = 3 * (3 * 64 * 32 + 3 * 96)
    assert counts['linear'] == in_and_out + x_and_dt + pooled_and_gate
    assert count_operations(tiny(), IMAGES[:1].shape)[1] == scans


@pytest.mark.slow
@pytest.mark.parametrize('path_type', ['forward_reverse_mean', 'forward_reverse_shuffle_gate'])
def test_a_compiled_backbone_takes_images_of_other_sizes(path_type):
    """Torch makes sizes that change dynamic; the orders of a grid stay constants."""
    arch = dict(embed_dims=8, num_layers=1, feedforward_channels=16)
    model = RSMamba(arch, img_size=16, patch_size=8, path_type=path_type).eval()
    compiled = torch.compile(model, backend='aot_eager', fullgraph=True)
    for batch, size in ((1, 16), (1, 32), (2, 24)):
        images = torch.randn(batch, 3, size, size)
        with torch.no_grad():
            torch.testing.assert_close(compiled(images)[0], model(images)[0])


def test_released_options_without_effect_are_accepted():
    """The options that the released code gives every mixer, and its small arch."""
    options = dict(hidden_size=192, state_size=16, intermediate_size=384, conv_kernel=4, time_step_rank=12)
    options |= dict(use_conv_bias=True, hidden_act='silu', use_bias=False, use_mambapy=True)
    model = RSMamba('small', img_size=32, layer_cfgs=options)
    names = dict(RSMamba('s', img_size=32).named_parameters())
    assert {k: v.shape for k, v in model.named_parameters()} == {k: v.shape for k, v in names.items()}
    assert len(model.layers) == 16 and model.embed_dims == 192
