"""MANet: its head, alone and in the segmenters of the configs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, maps, strided
from parity import assert_parity

from rsmamba_mm.errors import OptionError

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import convert_released

CONFIG = 'manet/manet_r50_vaihingen-512x512.py'
NARROW = (8, 16, 32, 64)


def test_published_parameter_counts():
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    head = model.decode_head
    assert count(model) == 35_860_622 and count(model.backbone) == 23_508_032
    assert [count(part) for part in head.attentions] == [82_242, 328_322, 1_312_002, 5_245_442]
    assert [count(part) for part in head.blocks] == [70_784, 247_296, 986_112, 3_938_304]
    assert count(head.up) == 131_104 + 9_248 and count(head.conv_seg) == 1_734


def test_small_fixture_of_parity():
    assert_parity('manet_head')


def test_converter_takes_any_classes_with_a_prefix_or_none():
    tensors = state_of('MANet')
    for kind in ('weight', 'bias'):
        tensors[f'finalconv3.{kind}'] = tensors[f'finalconv3.{kind}'][:3]
    plain = convert_released('manet', tensors)
    prefixed = convert_released('manet', {f'net.{name}': x for name, x in tensors.items()})
    assert plain.num_classes == prefixed.num_classes == 3
    assert plain.state_dict.keys() == prefixed.state_dict.keys()


def test_converter_names_what_does_not_fit():
    tensors = state_of('MANet')
    del tensors['attention2.CAM.gamma'], tensors['backbone.layer4.2.conv3.weight']
    with pytest.raises(OptionError) as error:
        convert_released('manet', tensors)
    for name in ('decode_head.attentions.1.channel.gamma', 'backbone.layer4.2.conv3.weight'):
        assert f'{name} is missing' in str(error.value)
    with pytest.raises(
        OptionError, match=r'2 of 3 tensors have no place .* MANet: decoder9\.x, attention1\.x'
    ):
        convert_released(
            'manet', {name: torch.ones(1) for name in ('backbone.x', 'decoder9.x', 'attention1.x')}
        )


def tiny(backbone: dict | None = None) -> torch.nn.Module:
    """The model of the config on a narrow ResNet-18, or another backbone."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG).model
    cfg.backbone = backbone or dict(type='ResNet', depth=18, base_channels=8)
    cfg.decode_head.update(in_channels=NARROW, channels=8)
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
def test_any_size(size):
    assert_any_size(tiny(), size, 6)


@pytest.mark.smoke
@pytest.mark.parametrize('backbone', [None, REST], ids=['ResNet', 'ResT'])
def test_a_training_step(backbone):
    assert_learns(tiny(backbone), 6, {'decode.loss_ce', 'decode.loss_dice'})


class TestMANetHead(ModelTester):
    config = dict(type='MANetHead', in_channels=NARROW, channels=8, num_classes=5)
    refusals = [(dict(num_clases=4), TypeError, 'unexpected keyword')]

    def inputs(self, batch, size):
        return maps(batch, size, NARROW, (4, 8, 16, 32))

    def shapes(self, batch, size):
        return [(batch, 5, *(4 * side for side in strided(size, 4)))]
