"""UNetFormer: its decoder and heads, alone and in the segmenters of the configs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import ModelTester, maps, strided
from parity import assert_parity

from rsmamba_mm.errors import OptionError
from rsmamba_mm.models import UNetFormerDecoder

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, assert_published, expected_of, published, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import convert_released

CONFIG = 'unetformer/unetformer_r18_vaihingen-512x512.py'
NARROW = (8, 16, 32, 64)


def test_published_parameter_counts():
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    neck = model.neck
    assert count(model) == 11_724_894 and count(model.backbone) == 11_176_512
    assert count(neck.pre_conv) == 32_896
    assert [count(block) for block in neck.blocks] == [96_968] * 3
    assert [count(fusion) for fusion in neck.fusions[:2]] == [53_378, 45_186]
    assert count(neck.fusions[2]) + count(neck.refine) == 51_266
    assert count(model.decode_head) == count(model.auxiliary_head) == 37_376


def test_published_outputs():
    model = published('UNetFormer', 'unetformer', CONFIG)
    assert_published('UNetFormer', model)
    image, arrays = expected_of('UNetFormer')
    size, (row, column, stride) = image.shape[-2:], arrays['out_offset_stride'].tolist()
    with torch.no_grad():
        metas = [dict(img_shape=size, ori_shape=size, pad_shape=size)]
        logits = model.auxiliary_head.predict(model.extract_feat(image), metas, model.test_cfg)
    error = (logits[..., row::stride, column::stride] - arrays['aux']).abs().max()
    assert error < 1e-4 * arrays['aux'].std()


def test_small_fixture_of_parity():
    assert_parity('unetformer_decoder')


def test_converter_takes_any_classes_a_prefix_and_files_without_auxiliary():
    tensors = state_of('UNetFormer')
    weight = 'decoder.segmentation_head.2.0.weight'
    tensors = {k: v for k, v in tensors.items() if 'aux_head' not in k} | {weight: tensors[weight][:3]}
    plain = convert_released('unetformer', tensors)
    prefixed = convert_released('unetformer', {f'net.{name}': x for name, x in tensors.items()})
    assert plain.num_classes == prefixed.num_classes == 3
    assert plain.state_dict.keys() == prefixed.state_dict.keys()
    assert not any(name.startswith('auxiliary_head') for name in plain.state_dict)


def test_converter_says_what_is_strange():
    with pytest.raises(
        OptionError, match=r'1 of \d+ tensors have no place in a released UNetFormer: decoder\.p5\.weights'
    ):
        convert_released('unetformer', state_of('UNetFormer') | {'decoder.p5.weights': torch.ones(2)})


def tiny() -> torch.nn.Module:
    """The model of the config on a narrow ResNet-18."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG).model
    cfg.backbone.base_channels = 8
    cfg.neck.update(in_channels=NARROW, channels=16)
    cfg.decode_head.in_channels = cfg.auxiliary_head.in_channels = 16
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
def test_any_size(size):
    assert_any_size(tiny(), size, 6)


@pytest.mark.smoke
def test_a_training_step():
    assert_learns(tiny(), 6, {'decode.loss_ce', 'decode.loss_dice', 'aux.loss_ce'})


class TestUNetFormerDecoder(ModelTester):
    config = dict(type='UNetFormerDecoder', in_channels=NARROW, channels=16)
    refusals = [
        (dict(in_channels=(8,)), OptionError, r'joins at least two maps, got in_channels=\(8,\)'),
        (dict(num_heads=3), OptionError, 'num_heads must divide the 16 channels, got 3'),
        (dict(window_size=5), OptionError, 'window_size must be even, got 5'),
        (dict(pyramid=(4, 2, 1, 0.5)), ValueError, 'UNetFormerDecoder: .* the maps have equal channels'),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, NARROW, (4, 8, 16, 32))

    def shapes(self, batch, size):
        return [(batch, 16, *strided(size, stride)) for stride in (32, 16, 8, 4)]


class HeadTester(ModelTester):
    sizes = [(64, 64), (33, 50)]
    refusals = [(dict(num_clases=4), TypeError, 'unexpected keyword')]

    def inputs(self, batch, size):
        return maps(batch, size, (8, 8, 8, 8), (32, 16, 8, 4))


class TestUNetFormerHead(HeadTester):
    config = dict(type='UNetFormerHead', in_channels=8, num_classes=5, dropout_ratio=0)

    def shapes(self, batch, size):
        return [(batch, 5, *strided(size, 4))]


class TestUNetFormerAuxHead(HeadTester):
    config = dict(type='UNetFormerAuxHead', in_channels=8, num_classes=5, dropout_ratio=0)

    def shapes(self, batch, size):
        return [(batch, 5, *strided(size, 8))]


def test_maps_that_are_not_there_are_missed():
    with pytest.raises(ValueError, match=r"4 maps are expected, .* got 1: set the backbone's out_indices"):
        UNetFormerDecoder(NARROW)([torch.randn(1, 8, 4, 4)])
