"""CM-UNet: its decoder, alone and in the segmenters of the configs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, maps, strided
from parity import assert_parity

from rsmamba_mm.errors import OptionError
from rsmamba_mm.models import CMUNetDecoder

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, assert_published, expected_of, published, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import convert_released

CONFIG = 'cmunet/cmunet_r18_vaihingen-512x512.py'
NARROW = (8, 16, 32, 64)


def test_published_parameter_counts():
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert count(model) == 13_109_990 - 79_344
    assert count(model.backbone) == 11_176_512
    assert count(model.neck.stages) + count(model.neck.expand_layers) == 1_173_968
    assert count(model.neck.concat_back_dim) == 172_480
    assert count(model.neck.aggregate.levels) == 496_790 - 12_656
    assert count(model.neck.aggregate.transfer) == 21_504
    assert count(model.decode_head) == 384 and count(model.auxiliary_head) == 1_536


def test_published_outputs():
    model = published('CMUNet', 'cmunet', CONFIG)
    assert_published('CMUNet', model)
    image, arrays = expected_of('CMUNet')
    with torch.no_grad():
        features = model.extract_feat(image)
        for head, name in zip(model.auxiliary_head, ('aux_h2', 'aux_h3', 'aux_h4'), strict=True):
            logits, expected = head.forward(features), arrays[name]
            assert (logits - expected).abs().max() < 1e-4 * expected.std(), name


def test_small_fixture_of_parity():
    assert_parity('cmunet_decoder')


def test_converter_leaves_out_what_is_never_used():
    tensors = state_of('CMUNet')
    found = convert_released('cmunet', tensors)
    assert sum(tensors[name].numel() for name in found.left_out) == 79_344
    assert {name.split('.')[1] for name in found.left_out} == {'norm', 'up', 'AFFs'}
    assert not [name for name in found.left_out if 'AFFs' in name and 'down_2' not in name]
    assert found.num_classes == 6


def test_converter_takes_any_classes_and_no_auxiliaries():
    tensors = {k.replace('mamba_unet.', 'net.mamba_unet.'): v for k, v in state_of('CMUNet').items()}
    for name in ('output', 'conv2', 'conv3', 'conv4'):
        weight = tensors.pop(f'net.mamba_unet.{name}.weight')
        if name == 'output':
            tensors[f'net.mamba_unet.{name}.weight'] = weight[:3]
    found = convert_released('cmunet', tensors)
    assert found.num_classes == 3
    assert not any(name.startswith('auxiliary_head') for name in found.state_dict)


def test_converter_knows_the_depths_of_its_config():
    tensors = {k: v for k, v in state_of('CMUNet').items() if 'layers_up.1.blocks.1.' not in k}
    with pytest.raises(OptionError, match='no config of this package has this variant of cmunet'):
        convert_released('cmunet', tensors)


def tiny(**options) -> torch.nn.Module:
    """The model of the config on a narrow ResNet-18, or another backbone."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG).model
    cfg.backbone = options.get('backbone', dict(type='ResNet', depth=18, base_channels=8))
    widths = options.get('widths', NARROW)
    cfg.neck.update(in_channels=widths, drop_path_rate=0, depths=(1,) * 4, pyramid=options.get('pyramid'))
    for head, width in zip((cfg.decode_head, *cfg.auxiliary_head), (0, 0, 0, 1), strict=True):
        head.update(in_channels=widths[width])
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


BACKBONES = {
    'ResNet': {},
    'ResT': dict(backbone=REST),
    'MiT': dict(  # widths need not double
        backbone=dict(type='MixVisionTransformer', embed_dims=8, num_heads=(1, 2, 5, 8)),
        widths=(8, 16, 40, 64),
    ),
    'RSMamba': dict(
        backbone=dict(
            type='RSMamba',
            arch=dict(embed_dims=16, num_layers=4, feedforward_channels=32),
            img_size=64,
            patch_cfg=dict(stride=8),
            out_type='featmap',
            out_indices=(0, 1, 2, 3),
        ),
        widths=(16, 16, 16, 16),
        pyramid=(2, 1, 0.5, 0.25),
    ),
}


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
@pytest.mark.parametrize('name', BACKBONES)
def test_any_size(name, size):
    assert_any_size(tiny(**BACKBONES[name]), size, 6)


@pytest.mark.smoke
@pytest.mark.parametrize('name', BACKBONES)
def test_a_training_step(name):
    names = {'decode.loss_ce', 'decode.loss_dice'}
    names |= {f'aux_{i}.loss_{kind}' for i in range(3) for kind in ('ce', 'dice')}
    assert_learns(tiny(**BACKBONES[name]), 6, names)


class TestCMUNetDecoder(ModelTester):
    config = dict(type='CMUNetDecoder', in_channels=NARROW, drop_path_rate=0)
    refusals = [
        (dict(depths=(2, 2)), ValueError, r'one number for each map, got depths=\[2, 2\]'),
        (dict(in_channels=(8, 18, 32, 64)), ValueError, r'must be multiples of 4, got \[8, 18, 32, 64\]'),
        (dict(pyramid=(4, 2, 1, 0.5)), ValueError, 'the maps have equal channels'),
        (dict(orders=['spiral']), ValueError, r"unknown scan order 'spiral'\. Known orders: "),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, NARROW, (4, 8, 16, 32))

    def shapes(self, batch, size):
        fine = strided(size, 4)
        return [(batch, 16, *strided(size, 8)), *[(batch, 8, *fine)] * 3]


def test_maps_that_are_not_there_are_missed():
    with pytest.raises(ValueError, match=r"4 maps are expected, .* got 1: set the backbone's out_indices"):
        CMUNetDecoder(NARROW)([torch.randn(1, 8, 4, 4)])


def test_maps_of_one_stride_are_refused():
    with pytest.raises(
        ValueError, match=r'4 × 6 px are followed by 4 × 6; for maps of one stride: pyramid'
    ):
        CMUNetDecoder((8,) * 4)([torch.randn(1, 8, 4, 6)] * 4)
