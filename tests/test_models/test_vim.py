import pytest
import torch
import torch.nn.functional as F
from commands import call
from golden import assert_formulation, assert_published_logits, classifier, state_of
from model_tester import ModelTester
from torch import Tensor, nn

from rsmamba_mm.errors import OptionError
from rsmamba_mm.layers import MultiPathMamba
from rsmamba_mm.models import Vim
from rsmamba_mm.models.released import convert_released
from rsmamba_mm.models.released.systems import system

CONFIG = 'vim/vim-t_ucmerced'
TINY = dict(embed_dims=32, num_layers=3, feedforward_channels=64)


def tiny(**options) -> Vim:
    return Vim(**{**dict(arch=TINY, img_size=64), **options})


@pytest.mark.parametrize(
    ('config', 'parameters'),
    [
        ('vim/vim-t_ucmerced', 6_959_061),
        ('vim/vim-t_aid', 6_960_798),
        ('vim/vim-t_resisc45', 6_963_693),
        ('vim/vim-mini_ucmerced-128px', 193_365),
    ],
)
def test_parameter_count(config, parameters):
    with torch.device('meta'):
        model = classifier(config)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_published_outputs():
    model = classifier(CONFIG)
    model.load_state_dict(convert_released('vim', state_of('Vim_Ti')).state_dict)
    assert_published_logits('Vim_Ti', model, 1e-5)


@pytest.mark.parametrize('side', [64, 80], ids=['even', 'odd'])
def test_published_formulation_gives_the_same(side):
    """Two calls of a plain Mamba, with their gradients; an odd number of tokens has another middle."""
    model = classifier('vim/vim-mini_ucmerced-128px', img_size=side, stride=16)
    assert_formulation('vim', model, (side, side))


class TestVim(ModelTester):
    config = dict(type='Vim', arch=TINY, img_size=64)
    sizes = [(64, 64), (100, 72)]
    refusals = [
        (dict(arch='huge'), ValueError, r"Vim: unknown arch 'huge'\. Choose from: tiny, small, base, t"),
        (dict(arch=dict(embed_dims=32)), TypeError, 'Vim: a custom arch is a dict of exactly embed_dims'),
        (dict(orders=['spiral']), ValueError, "unknown scan order 'spiral'. Known orders"),
        (dict(orders='forward'), ValueError, "Vim: orders needs a list of scan orders, got 'forward'"),
        (dict(out_type='map'), ValueError, "Vim: unknown out_type 'map'"),
        (dict(cls_position='none'), ValueError, "Vim: out_type='cls_token' needs a class token"),
        (dict(out_indices=3), ValueError, 'Vim: out_indices has 3, but the blocks are 0 … 2'),
        (dict(frozen_stages=4), ValueError, 'Vim: frozen_stages must be in -1 … 3, got 4'),
        (dict(layer_cfgs=[dict()]), ValueError, 'Vim: layer_cfgs lists 1 layers, the arch has 3'),
        (dict(layer_cfgs=dict(d_sate=8)), TypeError, "Vim: unknown option 'd_sate' in layer_cfgs"),
        (
            dict(layer_cfgs=dict(weight_sets=3)),
            ValueError,
            'Vim: weight_sets in layer_cfgs must be 1 or the number of scan orders, 2, got 3',
        ),
    ]

    def shapes(self, batch, size):
        return [(batch, 32)]


@pytest.mark.parametrize(
    ('options', 'shapes'),
    [
        (dict(out_type='avg_featmap', cls_position='none'), [(1, 32)]),
        (dict(out_type='featmap', out_indices=(0, 2)), [(1, 32, 5, 3), (1, 32, 5, 3)]),
        (dict(out_type='raw', stride=8), [(1, 9 * 5 + 1, 32)]),
        (dict(orders=['forward', 'reverse', 'column', 'column_reverse']), [(1, 32)]),
        (dict(patch_cfg=dict(bias=False), layer_cfgs=dict(weight_sets=1)), [(1, 32)]),
    ],
    ids=str,
)
def test_options(options, shapes):
    model = tiny(**options)
    model.init_weights()
    ys = model(torch.rand(1, 3, 70, 40))
    sum(y.sum() for y in ys).backward()
    assert [tuple(y.shape) for y in ys] == shapes
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_sum_over_the_blocks_stays_in_float32():
    images, types = torch.rand(1, 3, 64, 64), []
    for dtype, autocast in ((torch.bfloat16, False), (torch.float32, True)):
        model = tiny().to(dtype)
        for norm in model.pre_norm:
            norm.register_forward_pre_hook(lambda _, inputs: types.append(inputs[0].dtype))
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            (y,) = model(images.to(dtype))
        assert y.dtype == dtype
    assert types == [torch.float32] * 6


def test_blocks_run_again_give_the_same_gradients():
    model, results = tiny(drop_path_rate=0.5), []
    for model.with_cp in (False, True):
        model.zero_grad()
        torch.manual_seed(0)
        (y,) = model(torch.ones(2, 3, 64, 64))
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(*results)


def test_initialisation():
    model = tiny(arch=dict(embed_dims=128, num_layers=4, feedforward_channels=256))
    model.init_weights()
    assert model.patch_embed.projection.weight.std().item() == pytest.approx(768**-0.5, rel=0.03)
    for parameter in (model.cls_token, model.pos_embed):
        assert 0.015 < parameter.std() < 0.025
    for layer in model.layers:
        steps = F.softplus(layer.dt_proj.bias).chunk(2)  # of both orders alike
        assert all(step.min() >= 1e-4 and 0.05 < step.max() <= 0.1001 for step in steps)
        torch.testing.assert_close(layer.A_log.exp()[300], torch.arange(1.0, 17.0))
        assert layer.out_proj.weight.abs().max().item() == pytest.approx(1 / 16 / 2, rel=0.01)


def test_frozen_blocks_and_depths_for_learning_rate_decay():
    model = tiny(frozen_stages=2)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {'cls_token', 'pos_embed', 'patch_embed.projection.bias', 'pre_norm.1.weight'} <= frozen
    assert not {'layers.2.A_log', 'pre_norm.2.weight', 'ln1.weight'} & frozen
    names = ('cls_token', 'layers.0.D', 'pre_norm.2.weight', 'ln1.weight')
    assert [model.get_layer_depth(name)[0] for name in names] == [0, 1, 3, 4]


@pytest.mark.parametrize('scan', ['selective', 'identity'])
def test_weights_of_each_order_can_start_as_shared_ones(scan):
    shared, own = MultiPathMamba(16, scan=scan), MultiPathMamba(16, scan=scan, weight_sets=4)
    projections = ('in_proj', 'out_proj')
    own.load_state_dict(
        {
            name: x if name.startswith(projections) else x.repeat(4, *[1] * (x.dim() - 1))
            for name, x in shared.state_dict().items()
        }
    )
    x, orders = torch.randn(2, 10, 16), torch.stack([torch.randperm(10) for _ in range(4)])
    torch.testing.assert_close(own(x, orders), shared(x, orders))
    with pytest.raises(ValueError, match='weight_sets must be 1 or the number of scan orders, 3, got 4'):
        own(x, orders[:3])


# checkpoints ------------------------------------------------------------------------------------


def released(classes: int = 7) -> dict[str, Tensor]:
    """The names of the published code, from a Vim-Ti with random weights."""
    model = classifier(CONFIG)
    model.head.fc = nn.Linear(192, classes)
    return system('vim').release(model.state_dict())['model']


def test_way_there_and_back(tmp_path):
    tensors = released()
    assert tensors['layers.23.mixer.A_b_log'].shape == (384, 16)
    assert tensors['layers.0.mixer.conv1d_b.weight'].shape == (384, 1, 4)
    tool, files = 'model_converters/released_to_mm.py', [tmp_path / f'{i}.pth' for i in range(3)]
    torch.save(dict(model=tensors, epoch=3), files[0])
    there = call(tool, 'vim', *files[:2])
    assert there.returncode == 0, there.stderr
    assert '6,956,359 parameters, all as in vim (vim-t)' in there.stdout
    back = call(tool, 'vim', *files[1:], '--to', 'released')
    assert back.returncode == 0, back.stderr
    again = torch.load(files[2], weights_only=True)['model']
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], x) for name, x in tensors.items())


def test_released_base_adds_the_orders(monkeypatch):
    """Where the others take the mean: the projection after it makes up for that."""
    tensors, vim = released(), system('vim')
    monkeypatch.setattr(Vim, 'arch_zoo', Vim.arch_zoo | dict(base=Vim.arch_zoo['tiny'], tiny=TINY))
    state_dict = vim.convert(tensors).state_dict
    theirs = tensors['layers.5.mixer.out_proj.weight']
    assert torch.equal(state_dict['backbone.layers.5.out_proj.weight'], 2 * theirs)
    assert torch.equal(vim.release(state_dict)['model']['layers.5.mixer.out_proj.weight'], theirs)


def test_converter_refuses_what_is_no_vim():
    tensors = released()
    others = {name: x for name, x in tensors.items() if not name.startswith('layers.23.')}
    with pytest.raises(
        OptionError, match='no config of this package has this variant of vim: give the one'
    ):
        convert_released('vim', others)
    one_direction = {name: x for name, x in tensors.items() if '_b' not in name}
    message = r'168 parameters of the reverse order are missing.* layers\.0\.mixer\.A_b_log'
    with pytest.raises(OptionError, match=message):
        convert_released('vim', one_direction)
    with pytest.raises(OptionError, match=r'head\.weight is missing, by which a released Vim is recog'):
        convert_released('vim', {'fc.weight': torch.ones(1)})
