"""BANet: its backbone and head, alone and in the segmenters of the configs."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, maps, strided
from parity import assert_parity

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import convert_released

CONFIG = 'banet/banet_rest-lite_vaihingen-512x512.py'
NARROW = dict(context=dict(REST, out_indices=(2, 3)), context_channels=(32, 64), channels=8)


def test_published_parameter_counts():
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    backbone = model.backbone
    assert count(model) == 12_729_254 and count(backbone.context) == 9_995_300
    embedding = (backbone.attention, backbone.attention_conv, backbone.expand)
    assert sum(count(part) for part in embedding) == 1_771_649
    assert count(backbone.dependency_conv) == 33_024 and count(backbone.texture) == 91_968
    assert count(backbone.fuse) + count(backbone.fuse_attention) == 148_289
    assert count(model.decode_head) == 689_024


def test_small_fixture_of_parity():
    assert_parity('banet')


def test_converter_takes_any_classes_with_a_prefix_or_none():
    tensors = state_of('BANet')
    for kind in ('weight', 'bias'):
        tensors[f'conv_out.conv_out.{kind}'] = tensors[f'conv_out.conv_out.{kind}'][: 3 * 64]
    plain = convert_released('banet', tensors)
    prefixed = convert_released('banet', {f'net.{name}': x for name, x in tensors.items()})
    assert plain.num_classes == prefixed.num_classes == 3
    assert plain.state_dict.keys() == prefixed.state_dict.keys()


def test_its_encoder_is_found():
    encoder = convert_released('rest', state_of('BANet'))
    assert encoder.config == dict(type='ResT', arch='lite') and len(encoder.left_out) > 50


def tiny(context: dict = NARROW['context']) -> torch.nn.Module:
    """The model of the config, narrow, on ResT or another backbone."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG).model
    cfg.backbone = dict(NARROW, type='BANet', context=context)
    cfg.decode_head.in_channels = 16
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
def test_any_size(size):
    assert_any_size(tiny(), size, 6)


class TestBANet(ModelTester):
    config = dict(NARROW, type='BANet')
    half_dtypes = [torch.bfloat16]  # ResT's
    refusals = [
        (dict(context_channels=(64,)), ValueError, r'the maps at the strides 16 and 32, got \[64\]'),
        (dict(chanels=8), TypeError, 'unexpected keyword'),
    ]

    def shapes(self, batch, size):
        return [(batch, channels, *strided(size, 8)) for channels in (16, 8, 8)]


class TestPixelShuffleHead(ModelTester):
    config = dict(type='PixelShuffleHead', in_channels=16, num_classes=5)
    refusals = [
        (dict(up_factor=0), ValueError, 'up_factor must be at least 1, got 0'),
        (dict(num_clases=4), TypeError, 'unexpected keyword'),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, (16,), (8,))

    def shapes(self, batch, size):
        return [(batch, 5, *(8 * side for side in strided(size, 8)))]


@torch.no_grad()
def test_logits_of_a_pixel_stand_in_its_channels():
    head = MODELS.build(dict(TestPixelShuffleHead.config, up_factor=2)).eval()
    (x,) = maps(1, (24, 40), (16,), (8,))
    logits = head([x])
    for row in range(2):
        for column in range(2):
            rows = 2 * row + column + 4 * torch.arange(5)
            expected = F.conv2d(head.conv(x), head.conv_seg.weight[rows], head.conv_seg.bias[rows])
            torch.testing.assert_close(logits[..., row::2, column::2], expected)


RESNET = dict(type='ResNet', depth=18, base_channels=8, out_indices=(2, 3))


@pytest.mark.smoke
@pytest.mark.parametrize('context', [NARROW['context'], RESNET], ids=['ResT', 'ResNet'])
def test_a_training_step(context):
    assert_learns(tiny(context), 6, {'decode.loss_ce', 'decode.loss_dice'})
