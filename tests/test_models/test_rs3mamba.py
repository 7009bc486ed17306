"""RS3Mamba and VMamba: the encoders, alone and in the segmenters of the configs."""

import pytest
import torch
from miniatures import VMAMBA, shrink
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, strided
from parity import assert_parity
from torch import nn

from rsmamba_mm.errors import CheckpointError, OptionError
from rsmamba_mm.models import VMamba

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, assert_published, published, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import convert_released

CONFIG = 'rs3mamba/rs3mamba_r18_vaihingen-512x512.py'
BASELINE = 'unetmamba/unetmamba_rest-lite_baseline_vaihingen-512x512.py'
RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=8)


def whole(config: str) -> nn.Module:
    """The model of a config, without weights."""
    cfg = Config.fromfile(ROOT / 'configs' / config)
    init_default_scope('mmseg')
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def test_published_parameter_counts():
    model = whole(CONFIG)
    backbone = model.backbone
    assert count(model) == 43_324_894
    assert count(backbone.cnn) == 11_176_512 and count(backbone.stem) == 7_200
    assert count(backbone.ssm) == 22_136_736 and count(backbone.fusions) == 9_493_440
    assert count(model.neck) + count(model.decode_head) == 511_006
    with torch.device('meta'):
        vmamba = VMamba(out_indices=(3,))
    assert count(vmamba) == 22_122_912 + 1_536


@pytest.mark.parametrize(
    ('kind', 'parameters'), [('baseline', 42_143_682), ('no-lsm', 13_891_306), (None, 14_755_946)], ids=str
)
def test_sizes_of_the_ablation_of_unetmamba(kind, parameters):
    """42.14 M, 13.89 M and 14.76 M."""
    name = f'unetmamba_rest-lite_{kind}' if kind else 'unetmamba_rest-lite'
    assert count(whole(f'unetmamba/{name}_vaihingen-512x512.py')) == parameters


def test_published_outputs():
    assert_published('RS3Mamba', published('RS3Mamba', 'rs3mamba', CONFIG), tolerance=6e-4)


def test_small_fixture_of_parity():
    assert_parity('rs3mamba')


def test_converter_takes_any_classes_and_of_two_names_the_later():
    tensors = {f'net.{name}': x for name, x in state_of('RS3Mamba').items()}
    weight = 'net.decoder.segmentation_head.2.0.weight'
    tensors[weight] = tensors[weight][:3]
    found = convert_released('rs3mamba', tensors)
    assert found.num_classes == 3 and not found.left_out
    backwards = convert_released('rs3mamba', dict(reversed(tensors.items())))
    for ours, alias in (('conv1', 'conv1'), ('bn1', 'bn1'), ('layer2.1.conv2', 'layers.1.1.conv2')):
        name = f'backbone.cnn.{ours}.weight'
        assert torch.equal(found.state_dict[name], tensors[f'net.{alias}.weight'])
        assert torch.equal(backwards.state_dict[name], tensors[f'net.backbone.{ours}.weight'])


def tiny(config: str = CONFIG) -> nn.Module:
    """The model of a config, narrow."""
    cfg = Config.fromfile(ROOT / 'configs' / config).model
    shrink(cfg)
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
def test_any_size(size):
    assert_any_size(tiny(), size, 6)


@pytest.mark.smoke
@pytest.mark.parametrize('config', [CONFIG, BASELINE], ids=['ResNet', 'ResT'])
def test_a_training_step(config):
    assert_learns(tiny(config), 6, {'decode.loss_ce', 'decode.loss_dice'})


class TestVMamba(ModelTester):
    config = dict(type='VMamba', arch=VMAMBA, drop_path_rate=0)
    refusals = [
        (
            dict(arch='v9'),
            OptionError,
            r"VMamba: unknown arch 'v9'\. Choose from: v0, s2l5, s1l8, small, base\.",
        ),
        (dict(arch=dict(embed_dims=(8,))), OptionError, 'arch as a dict has embed_dims, depths, d_state'),
        (dict(out_indices=(4,)), OptionError, r'out_indices are stages from 0 to 3, got \(4,\)'),
        (dict(orders=['spiral']), ValueError, r"unknown scan order 'spiral'\. Known orders: "),
    ]

    def shapes(self, batch, size):
        return [(batch, 8 * 2**i, *strided(size, 4 * 2**i)) for i in range(4)]

    def test_blocks_run_again_give_the_same_gradients(self):
        x = self.inputs(1, (33, 50))
        first, again = (self.results(self.build(with_cp=with_cp).train(), x) for with_cp in (False, True))
        torch.testing.assert_close(first, again)


class TestRS3MambaBackbone(ModelTester):
    config = dict(
        type='RS3MambaBackbone',
        cnn=RESNET,
        ssm=dict(type='VMamba', arch=VMAMBA, in_channels=4, patch_size=2, out_norm=False, drop_path_rate=0),
        cnn_channels=(8, 16, 32, 64),
        ssm_channels=(8, 16, 32, 64),
        stem_channels=4,
        num_heads=2,
    )
    refusals = [
        (dict(cnn_channels=(8, 16)), OptionError, r'those of four stages each, got \[8, 16\] and \[8, 16'),
        (dict(num_heads=3), OptionError, 'num_heads must divide the 8 channels, got 3'),
        (
            dict(cnn=dict(type='VMamba', arch=VMAMBA)),
            OptionError,
            'cnn must be a ResNet of mmseg or mmpretrain, or ResT, .* got VMamba',
        ),
    ]

    def shapes(self, batch, size):
        return [(batch, 8 * 2**i, *strided(size, 4 * 2**i)) for i in range(4)]

    def test_the_fused_map_goes_on(self):
        """What the auxiliary branch says at the first stage reaches the last one of the main branch."""
        model, x = self.build().double().eval(), self.inputs(1, (64, 64)).double()
        first = self.outputs(model, x)
        for fusion in model.fusions[1:]:
            fusion.norm_local.register_forward_hook(lambda _, inputs, y: torch.zeros_like(y))
        cut = self.outputs(model, x)
        nn.init.zeros_(model.fusions[0].norm_local.weight)
        assert torch.equal(first[0], cut[0]) and not torch.equal(cut[3], self.outputs(model, x)[3])

    def test_strides_must_be_equal(self):
        model = self.build(ssm=dict(self.config['ssm'], patch_size=4))
        with pytest.raises(OptionError, match='stage 0 has 16 × 16 px in cnn and 8 × 8 in ssm'):
            model(self.inputs(1, (64, 64)))

    @pytest.mark.parametrize('cnn', [REST, dict(RESNET, type='mmseg.ResNetV1c', stem_channels=8)], ids=str)
    def test_other_main_branches(self, cnn):
        model = self.build(cnn=cnn)
        assert [y.shape for y in self.outputs(model, self.inputs(2, (33, 50)))] == self.shapes(2, (33, 50))


def released(model: VMamba) -> dict[str, torch.Tensor]:
    """The names of the first release."""
    names = {'.norm.': '.ln_1.', '.op.': '.self_attention.'}
    renamed = {}
    for name, x in model.state_dict().items():
        for ours, theirs in names.items() if '.blocks.' in name else ():
            name = name.replace(ours, theirs)
        renamed[name.replace('norm3.', 'norm.')] = x
    return renamed


def test_released_weights_load(tmp_path):
    model = MODELS.build(dict(TestVMamba.config, out_indices=(3,)))
    torch.save(dict(model=released(model)), tmp_path / 'vmamba.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'vmamba.pth'))
    other = MODELS.build(dict(TestVMamba.config, out_indices=(3,), init_cfg=pretrained))
    other.init_weights()
    for name, x in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], x), name

    inside = dict(TestRS3MambaBackbone.config['ssm'], init_cfg=pretrained)
    backbone = MODELS.build(dict(TestRS3MambaBackbone.config, ssm=inside))
    start = backbone.ssm.patch_embed.proj.weight.clone()
    backbone.init_weights()
    assert torch.equal(backbone.ssm.patch_embed.proj.weight, start)
    for name, x in backbone.ssm.layers.state_dict().items():
        assert torch.equal(x, model.layers.state_dict()[name]), name


def test_weights_of_another_size_are_refused():
    other = MODELS.build(dict(TestVMamba.config, arch=dict(VMAMBA, depths=(1, 1, 2, 1))))
    with pytest.raises(CheckpointError, match=r'layers\.2\.blocks\.1\.norm\.weight: not in the checkpoint'):
        other.load_state_dict(MODELS.build(TestVMamba.config).state_dict())
