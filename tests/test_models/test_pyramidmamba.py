"""PyramidMamba: its head, alone and in the segmenters of the configs."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, maps, strided
from parity import assert_parity

from rsmamba_mm.errors import OptionError

pytest.importorskip('mmseg.models')
from golden import ROOT, assert_any_size, assert_learns, assert_published, published, state_of
from test_unetmamba import count

from rsmamba_mm.models.released import convert_released

CONFIG = 'pyramidmamba/pyramidmamba_r18_vaihingen-512x512.py'
NARROW = dict(pool_channels=4, hidden_channels=8, mid_channels=8, channels=8, num_classes=5)


def test_published_parameter_counts():
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG)
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    head = model.decode_head
    assert count(model) == 28_763_328 and count(model.backbone) == 11_176_512
    assert count(head.pools) == 263_168 and count(head.mixer) == 6_666_240
    assert count(head.ffn) == 10_029_056
    assert count(head.up) == 443_136 and count(head.lateral) == 73_984
    assert count(head.last) + count(head.conv_seg) == 111_232


def test_published_outputs():
    assert_published('EfficientPyramidMamba', published('EfficientPyramidMamba', 'pyramidmamba', CONFIG))


def test_small_fixture_of_parity():
    assert_parity('pyramid_mamba_head')


def test_converter_takes_any_classes_with_a_prefix_or_none():
    tensors = state_of('EfficientPyramidMamba')
    tensors['decoder.head.4.0.weight'] = tensors['decoder.head.4.0.weight'][:3]
    plain = convert_released('pyramidmamba', tensors)
    prefixed = convert_released('pyramidmamba', {f'net.{name}': x for name, x in tensors.items()})
    assert plain.num_classes == prefixed.num_classes == 3
    assert plain.state_dict.keys() == prefixed.state_dict.keys()


def test_converter_says_that_no_config_has_another_encoder():
    tensors = state_of('EfficientPyramidMamba')
    del tensors['backbone.layer4.1.conv2.weight']
    with pytest.raises(OptionError, match='no config of this package has this variant of pyramidmamba'):
        convert_released('pyramidmamba', tensors)


def tiny(backbone: dict | None = None, **head) -> torch.nn.Module:
    """The model of the config on a narrow ResNet-18, or another backbone."""
    cfg = Config.fromfile(ROOT / 'configs' / CONFIG).model
    cfg.backbone = backbone or dict(type='ResNet', depth=18, base_channels=8)
    cfg.decode_head.update(dict(NARROW, in_channels=(8, 64)) | head)
    init_default_scope('mmseg')
    model = MODELS.build(cfg)
    model.init_weights()
    return model


SWIN = dict(type='SwinTransformer', embed_dims=8, depths=(1,) * 4, num_heads=(1,) * 4, out_indices=(0, 3))


@pytest.mark.parametrize('size', [(32, 32), (33, 70), (96, 64)], ids=str)
@pytest.mark.parametrize('options', [{}, dict(backbone=SWIN, in_index=(0, 1))], ids=['ResNet', 'Swin'])
def test_any_size(options, size):
    assert_any_size(tiny(**options), size, 5)


@pytest.mark.smoke
@pytest.mark.parametrize(
    'options',
    [{}, dict(backbone=REST), dict(backbone=SWIN, in_index=(0, 1)), dict(orders=('forward', 'shuffle'))],
    ids=['ResNet', 'ResT', 'Swin', 'orders'],
)
def test_a_training_step(options):
    assert_learns(tiny(**options), 5, {'decode.loss_ce', 'decode.loss_dice'})


class TestPyramidMambaHead(ModelTester):
    config = dict(NARROW, type='PyramidMambaHead', in_channels=(8, 64), dropout_ratio=0)
    refusals = [
        (dict(num_clases=4), TypeError, 'unexpected keyword'),
        (dict(in_channels=(8,)), OptionError, r'in_channels and in_index, got \[8\] and \[0, 3\]'),
        (dict(pool_scales=(1, 0)), OptionError, r'pool_scales must be positive integers, got \(1, 0\)'),
        (dict(orders=['spiral']), ValueError, r"unknown scan order 'spiral'\. Known orders: "),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, (8, 16, 32, 64), (4, 8, 16, 32))

    def shapes(self, batch, size):
        height, width = strided(size, 4)
        return [(batch, 5, 2 * height, 2 * width)]


@torch.no_grad()
def test_logits_enlarged_are_those_of_the_enlarged_maps():
    """Which is how the released network has it."""
    head = MODELS.build(TestPyramidMambaHead.config).eval()
    features = []
    head.conv_seg.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    logits = head(maps(1, (64, 64), (8, 16, 32, 64), (4, 8, 16, 32)))
    enlarged = F.interpolate(features[0], scale_factor=2, mode='bilinear')
    expected = F.conv2d(enlarged, head.conv_seg.weight)
    torch.testing.assert_close(F.interpolate(logits, scale_factor=2, mode='bilinear'), expected)


@torch.no_grad()
def test_the_first_grid_is_averaged_after_its_convolution():
    head = MODELS.build(TestPyramidMambaHead.config).eval()
    x, conv = torch.randn(1, 64, 4, 6), head.pools[0]
    for scale, expected in (
        (1, conv(x).mean((2, 3), keepdim=True)),
        (2, conv(F.avg_pool2d(x, (2, 3)))),
        (8, None),
    ):
        pooled = head._pooled(x, scale, conv)
        assert pooled.shape[2:] == (scale, scale)
        if expected is not None:
            torch.testing.assert_close(pooled, expected)


def test_maps_that_do_not_meet_are_refused():
    head = MODELS.build(dict(TestPyramidMambaHead.config, num_upsamples=2))
    with pytest.raises(
        OptionError, match=r'brought to 8 × 12 px and the fine one has 16 × 24: num_upsamples'
    ):
        head(maps(1, (64, 96), (8, 16, 32, 64), (4, 8, 16, 32)))
