"""DC-Swin: its neck and head, alone and in the segmenters of the configs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, maps, strided
from parity import assert_parity

from rsmamba_mm.errors import OptionError
from rsmamba_mm.models import DCFAM

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import Converted, convert_released, model_of

CONFIG = 'dcswin/dcswin_swin-t_vaihingen-512x512.py'
NARROW = (8, 16, 32, 64)
SWIN = dict(type='SwinTransformer', embed_dims=8, depths=(1,) * 4, num_heads=(1, 1, 2, 2))


@pytest.mark.parametrize(
    'size, encoder, decoder',
    [('t', 27_520_698, 18_110_882), ('s', 48_838_602, 18_110_882), ('b', 86_745_016, 32_184_194)],
)
def test_published_parameter_counts(size, encoder, decoder):
    model = model_of(Converted({}, f'rsmamba_mm::_base_/models/dcswin_swin-{size}.py', 6))
    assert count(model.backbone) == encoder and count(model) == encoder + decoder
    if size != 'b':
        assert count(model.neck) == 17_861_090
        assert count(model.decode_head.lateral) == 166_080
        assert count(model.decode_head.conv) + count(model.decode_head.conv_seg) == 83_712


def test_small_fixture_of_parity():
    assert_parity('dcfam')


def test_converter_takes_any_classes_with_a_prefix_or_none():
    tensors = state_of('DCSwin_tiny')
    weight = 'decoder.segmentation_head.1.0.weight'
    tensors[weight] = tensors[weight][:3]
    plain = convert_released('dcswin', tensors)
    prefixed = convert_released('dcswin', {f'net.{name}': x for name, x in tensors.items()})
    assert plain.num_classes == prefixed.num_classes == 3
    assert plain.state_dict.keys() == prefixed.state_dict.keys()


def test_indices_of_the_windows_are_the_released_ones():
    """Those of a file and those of the model are the same, so that either may stand in a checkpoint."""
    grid = torch.stack(torch.meshgrid(torch.arange(7), torch.arange(7), indexing='ij')).flatten(1)
    row, column = grid[:, :, None] - grid[:, None] + 6
    init_default_scope('mmseg')
    attention = MODELS.build(SWIN).stages[0].blocks[0].attn.w_msa
    assert torch.equal(attention.relative_position_index, 13 * row + column)


def test_converter_knows_three_sizes():
    tensors = {k: v for k, v in state_of('DCSwin_tiny').items() if 'layers.2.blocks.5.' not in k}
    with pytest.raises(OptionError, match='no config of this package has this variant of dcswin'):
        convert_released('dcswin', tensors)


def tiny(backbone: dict = SWIN) -> torch.nn.Module:
    """The model of the config on a narrow Swin, or another backbone."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG).model
    cfg.backbone = backbone
    cfg.neck.in_channels, cfg.decode_head.in_channels = NARROW, NARROW[:2]
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
def test_any_size(size):
    assert_any_size(tiny(), size, 6)


@pytest.mark.smoke
@pytest.mark.parametrize(
    'backbone',
    [SWIN, REST, dict(type='ResNet', depth=18, base_channels=8)],
    ids=['Swin', 'ResT', 'ResNet'],
)
def test_a_training_step(backbone):
    assert_learns(tiny(backbone), 6, {'decode.loss_ce', 'decode.loss_dice'})


class TestDCFAM(ModelTester):
    config = dict(type='DCFAM', in_channels=NARROW)
    refusals = [
        (dict(in_channels=(8, 16)), ValueError, r'joins four maps: in_channels are \[8, 16\]'),
        (dict(pyramid=(4, 2, 1, 0.5)), ValueError, 'DCFAM: .* the maps have equal channels'),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, NARROW, (4, 8, 16, 32))

    def shapes(self, batch, size):
        return [(batch, channels, *strided(size, stride)) for channels, stride in ((8, 4), (16, 8))]


class TestDCSwinHead(ModelTester):
    config = dict(type='DCSwinHead', in_channels=(8, 16), num_classes=5, dropout_ratio=0)
    refusals = [(dict(num_clases=4), TypeError, 'unexpected keyword')]

    def inputs(self, batch, size):
        return maps(batch, size, (8, 16), (4, 8))

    def shapes(self, batch, size):
        return [(batch, 5, *strided(size, 4))]


def test_maps_that_are_not_there_are_missed():
    with pytest.raises(ValueError, match=r"4 maps are expected, .* got 1: set the backbone's out_indices"):
        DCFAM(NARROW)([torch.randn(1, 8, 4, 4)])
