"""Decoder, local supervision and losses of UNetMamba, alone and as a segmenter of mmseg."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST, ModelTester, maps, strided
from parity import assert_parity

from rsmamba_mm.models import MambaSegDecoder, SoftCrossEntropyLoss, SoftDiceLoss
from rsmamba_mm.models.complexity import count_operations

pytest.importorskip('mmseg.models')
from golden import samples

from rsmamba_mm.models.heads import LocalSupervisionHead, PixelHead

GOLDEN = Path(__file__).parents[3] / 'shared' / 'golden' / 'msd_decoder.npz'
LOSS = Path(__file__).parents[1] / 'data' / 'unetmamba_loss.npz'


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def load(path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(x) for name, x in np.load(path).items()}


def unetmamba(num_classes=6, backbone=None, neck=None, with_lsm=True, arch='lite', channels=64):
    init_default_scope('mmseg')
    losses = [dict(type='SoftCrossEntropyLoss', smooth_factor=0.05), dict(type='SoftDiceLoss')]
    width = (neck or {}).get('in_channels', (64, 128, 256, 512))
    auxiliary = dict(
        type='LocalSupervisionHead',
        in_channels=width[2::-1],
        num_classes=num_classes,
        loss_decode=dict(type='SoftCrossEntropyLoss', smooth_factor=0.05, loss_weight=0.4),
    )
    return MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=1),
            backbone=backbone or dict(type='ResT', arch=arch),
            neck=dict(dict(type='MambaSegDecoder'), **(neck or {})),
            decode_head=dict(
                type='PixelHead', in_channels=width[0], num_classes=num_classes, loss_decode=losses
            ),
            auxiliary_head=auxiliary if with_lsm else None,
            test_cfg=dict(mode='whole'),
        )
    )


def test_published_parameter_counts():
    with_lsm, without = unetmamba(), unetmamba(with_lsm=False)
    assert count(with_lsm) == 14_755_946 and count(without) == 13_891_306
    assert count(with_lsm.auxiliary_head) == 864_640
    assert count(with_lsm.backbone) == 9_995_300
    assert count(with_lsm.neck.stages) == 2_968_448
    assert count(with_lsm.neck.expand_layers) == 754_688
    assert count(with_lsm.neck.concat_back_dim) == 172_480
    assert count(with_lsm.decode_head) == 390


def test_pixel_head_is_the_convolution_of_mmsegs_fcn_head():
    """With its weights: logits and gradients, bit for bit."""
    disguised = dict(type='mmseg.FCNHead', channels=64, num_convs=0, kernel_size=1, concat_input=False)
    disguised |= dict(dropout_ratio=0, in_channels=64, in_index=3, num_classes=6)
    heads = ours, theirs = [MODELS.build(head) for head in (dict(type='PixelHead'), disguised)]
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == ['conv_seg.weight', 'conv_seg.bias']
    maps = [torch.randn(2, 64, size, size) for size in (2, 4, 8, 16)]
    logits = [head(maps) for head in heads]
    assert logits[0].shape == (2, 6, 16, 16)
    assert torch.equal(*logits)
    torch.autograd.backward([y.square().sum() for y in logits])
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)
        assert torch.equal(p.grad, q.grad)


@pytest.mark.slow
def test_published_costs():
    model, shape = unetmamba(), (1, 3, 1024, 1024)
    adds, scans = count_operations(model, shape)
    encoder, none = count_operations(model.backbone, shape)
    assert encoder == pytest.approx(63.08e9, rel=5e-3) and none == 0
    assert adds - encoder == pytest.approx(36.10e9, rel=5e-3)
    assert adds == pytest.approx(99.18e9, rel=5e-3)
    # blocks, directions, tokens and inner channels of each stage
    assert scans == sum(2 * 4 * (1024 // s) ** 2 * 32 * s * 145 for s in (16, 8, 4))
    assert scans == pytest.approx(17.0e9, rel=5e-3)
    assert {p.device.type for p in model.parameters()} == {'cpu'}  # counted on a copy


@pytest.mark.skipif(not GOLDEN.is_file(), reason='the published outputs are not here')
def test_published_outputs_and_gradients():
    golden = load(GOLDEN)
    state = {k[3:]: v for k, v in golden.items() if k.startswith('sd/')}
    neck = MambaSegDecoder((8, 16, 32, 64), drop_path_rate=0)
    lsm = LocalSupervisionHead((32, 16, 8), num_classes=5, dropout_ratio=0)
    main = PixelHead(8, num_classes=5)
    neck.load_state_dict({k: v for k, v in state.items() if not k.startswith(('lsm', 'seg'))})
    lsm.load_state_dict({k: v for k, v in state.items() if k.startswith('lsm')})
    main.conv_seg.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith('seg')})
    inputs = [golden[f'f{i}'].requires_grad_() for i in range(4)]
    maps = neck(inputs)
    y, aux = main(maps), lsm(maps)
    torch.autograd.backward([y, aux], [golden['cotangent_main'], golden['cotangent_aux']])
    pairs = [(y, golden['y_train'], 1e-4), (aux, golden['aux_train'], 1e-4)]
    pairs += [(x.grad, golden[f'grad_f{i}'], 1e-3) for i, x in enumerate(inputs)]
    pairs += [
        (neck.get_parameter(k[5:]).grad, v, 1e-3)
        for k, v in golden.items()
        if k.startswith('grad/') and not k.startswith(('grad/lsm', 'grad/seg'))
    ]
    pairs.append((main(neck.eval()(inputs)), golden['y_eval'], 1e-4))
    for ours, theirs, tolerance in pairs:
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_small_fixture_of_parity():
    assert_parity('msd_decoder')


def test_published_loss():
    golden = load(LOSS)
    ce, dice = SoftCrossEntropyLoss(0.05, avg_non_ignore=False), SoftDiceLoss(0.05)
    auxiliary = SoftCrossEntropyLoss(0.05, avg_non_ignore=False, loss_weight=0.4)
    main, target = golden['main'].requires_grad_(), golden['target']
    parts = [loss(main, target, ignore_index=5) for loss in (ce, dice)]
    torch.testing.assert_close(parts[0], golden['ce'])
    torch.testing.assert_close(sum(parts), golden['main_only'])
    aux = auxiliary(golden['aux'], target, ignore_index=5)
    torch.testing.assert_close(aux, 0.4 * golden['aux_only'])
    torch.testing.assert_close(sum(parts) + aux, golden['loss'])
    (sum(parts) + aux).backward()
    torch.testing.assert_close(main.grad, golden['grad_main'])


class TestLosses:
    logits = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 4, (2, 5, 6), generator=torch.Generator().manual_seed(1))

    def test_cross_entropy_is_torchs(self):
        target = self.target.masked_fill(self.target == 2, 255)
        expected = F.cross_entropy(self.logits, target, ignore_index=255, label_smoothing=0.1)
        torch.testing.assert_close(SoftCrossEntropyLoss(0.1)(self.logits, target), expected)
        of_all = SoftCrossEntropyLoss(0.1, avg_non_ignore=False, loss_weight=2)(self.logits, target)
        torch.testing.assert_close(of_all, 2 * expected * (target != 255).float().mean())

    def test_dice_by_its_formula(self):
        p, y = self.logits.softmax(1), F.one_hot(self.target, 4).permute(0, 3, 1, 2)
        dims = (0, 2, 3)
        dice = (2 * (p * y).sum(dims) + 0.05) / (p.sum(dims) + y.sum(dims) + 0.05)
        torch.testing.assert_close(SoftDiceLoss()(self.logits, self.target), (1 - dice).mean())

    def test_ignored_pixels_and_absent_classes_count_for_nothing(self):
        target = self.target.masked_fill(self.target == 3, 255)
        changed = self.logits.clone()
        changed[(target == 255).unsqueeze(1).expand_as(changed)] = 50
        for loss in (SoftCrossEntropyLoss(0.05), SoftDiceLoss()):
            torch.testing.assert_close(loss(changed, target), loss(self.logits, target))
        one = SoftDiceLoss(smooth=0)(self.logits, torch.zeros_like(self.target))
        p = self.logits.softmax(1)[:, 0].sum()
        torch.testing.assert_close(one, (1 - 2 * p / (p + 60)) / 4)

    @pytest.mark.parametrize('loss', [SoftCrossEntropyLoss(0.05), SoftDiceLoss()], ids=['ce', 'dice'])
    def test_nothing_valid(self, loss):
        logits = self.logits.clone().requires_grad_()
        value = loss(logits, torch.full_like(self.target, 255))
        value.backward()
        assert value == 0 and logits.grad.isfinite().all()

    def test_binary(self):
        logits, target = self.logits[:, :1], self.target % 2
        expected = F.binary_cross_entropy_with_logits(logits[:, 0], target * 0.9 + 0.05)
        torch.testing.assert_close(SoftCrossEntropyLoss(0.1)(logits, target), expected)
        p = logits[:, 0].sigmoid()
        dice = 1 - (2 * (p * target).sum() + 0.05) / (p.sum() + target.sum() + 0.05)
        torch.testing.assert_close(SoftDiceLoss()(logits, target), dice)
        ignored = target.masked_fill(target == 0, 255)
        torch.testing.assert_close(
            SoftCrossEntropyLoss()(logits, ignored), F.softplus(-logits[:, 0][target == 1]).mean()
        )

    def test_weights_of_pixels(self):
        keep = (torch.arange(6) < 3).expand(2, 5, 6)
        for loss in (SoftCrossEntropyLoss(0.05, avg_non_ignore=False), SoftDiceLoss()):
            weighted = loss(self.logits, self.target, weight=keep.float())
            masked = loss(self.logits, self.target.masked_fill(~keep, 255))
            torch.testing.assert_close(weighted, masked)

    def test_refusals(self):
        with pytest.raises(ValueError, match=r'smooth_factor is in \[0, 1\), got 1'):
            SoftCrossEntropyLoss(1)
        with pytest.raises(ValueError, match='smooth is at least 0, got -1'):
            SoftDiceLoss(-1)


HEADS = dict(decode_head=dict(in_channels=8, channels=8), auxiliary_head=dict(in_channels=(32, 16, 8)))
BACKBONES = {
    'ResT': (REST, dict(in_channels=(8, 16, 32, 64))),
    'ResNet-18': (
        dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2, 3)),
        dict(in_channels=(64, 128, 256, 512)),
    ),
    'Swin-T': (
        dict(type='mmpretrain.SwinTransformer', arch='tiny', pad_small_map=True, out_indices=(0, 1, 2, 3)),
        dict(in_channels=(96, 192, 384, 768)),
    ),
    'ConvNeXt-T': (
        dict(
            type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3), gap_before_final_norm=False
        ),
        dict(in_channels=(96, 192, 384, 768)),
    ),
    'RSMamba': (
        dict(
            type='RSMamba',
            arch=dict(embed_dims=16, num_layers=4, feedforward_channels=32),
            img_size=64,
            patch_cfg=dict(stride=8),
            out_type='featmap',
            out_indices=(0, 1, 2, 3),
        ),
        dict(in_channels=(16, 16, 16, 16), pyramid=(2, 1, 0.5, 0.25)),
    ),
}


@pytest.mark.smoke
@pytest.mark.parametrize('name', BACKBONES)
def test_behind_any_backbone(name):
    pytest.importorskip('mmpretrain.models')
    torch.manual_seed(0)
    backbone, neck = BACKBONES[name]
    model = unetmamba(4, backbone, dict(neck, drop_path_rate=0)).train()
    model.init_weights()
    losses = model.loss(torch.randn(2, 3, 64, 64), samples(2, (64, 64), 4))
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert count_operations(model.backbone, (1, 3, 64, 64))[0] > 0
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without and total.isfinite()
    assert {'decode.loss_ce', 'decode.loss_dice', 'aux.loss_ce'} <= set(losses)


@pytest.mark.parametrize(
    'orders', [['snake', 'snake_reverse'], ['forward'], ['forward', 'shuffle']], ids='-'.join
)
def test_a_config_may_scan_along_any_orders(root, orders):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    config = Config.fromfile(root / 'configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py')
    backbone, neck = BACKBONES['ResT']
    config.model.backbone = backbone
    config.merge_from_dict(dict(model=dict(neck=dict(neck, drop_path_rate=0, orders=orders), **HEADS)))
    model = MODELS.build(config.model).train()
    model.init_weights()
    for block in (block for stage in model.neck.stages for block in stage.blocks):
        assert block.op.orders == tuple(orders) and len(block.op.x_proj_weight) == len(orders)
    assert [block.op.shuffle_seed for stage in model.neck.stages for block in stage.blocks] == [*range(6)]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    before = {name: p.detach().clone() for name, p in model.neck.named_parameters()}
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    data = dict(inputs=list(images), data_samples=samples(2, (64, 64), 8))
    log = model.train_step(data, OptimWrapper(optimizer))
    assert log['loss'].isfinite()
    assert not [name for name, p in model.neck.named_parameters() if torch.equal(p, before[name])]
    model.eval()
    with torch.no_grad():
        predictions = [model.predict(images[:1] / 255.0, samples(1, (64, 64), 8))[0] for _ in 'ab']
    assert torch.equal(*(p.seg_logits.data for p in predictions))


@pytest.mark.parametrize('size', [(64, 64), (72, 40), (33, 50)])
def test_inference_at_any_size_is_the_same_without_lsm(size):
    torch.manual_seed(0)
    backbone, neck = BACKBONES['ResT']
    model = unetmamba(4, backbone, neck).eval()
    bare = unetmamba(4, backbone, neck, with_lsm=False).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith('auxiliary')})
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        predictions = [m.predict(x, samples(1, size, 4))[0].seg_logits.data for m in (model, bare)]
    assert predictions[0].shape == (4, *size)
    assert torch.equal(*predictions)
    # with gradients nothing is computed in strips
    torch.testing.assert_close(model.predict(x, samples(1, size, 4))[0].seg_logits.data, predictions[0])


class TestMambaSegDecoder(ModelTester):
    config = dict(type='MambaSegDecoder', in_channels=(8, 16, 32, 64), drop_path_rate=0)
    refusals = [
        (dict(depths=(2, 2)), ValueError, r'one number for each map but the deepest, got depths=\[2, 2\]'),
        (dict(pyramid=(4, 2, 1, 0.5)), ValueError, 'the maps have equal channels'),
        (
            dict(depths=(1, -1, 1)),
            ValueError,
            'MambaSegDecoder: depths lists one or more integers, each 0 or',
        ),
        (dict(final_scale=0), ValueError, 'MambaSegDecoder: final_scale must be a positive integer, got 0'),
        (dict(orders=['spiral']), ValueError, r"unknown scan order 'spiral'\. Known orders: "),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, (8, 16, 32, 64), (4, 8, 16, 32))

    def shapes(self, batch, size):
        height, width = strided(size, 4)
        return [
            *((batch, c, *strided(size, s)) for c, s in ((32, 16), (16, 8), (8, 4))),
            (batch, 8, 4 * height, 4 * width),
        ]

    def test_maps_of_one_stride_are_refused(self):
        with pytest.raises(
            ValueError, match=r'4 × 6 px are followed by 4 × 6; for maps of one stride: pyramid'
        ):
            self.build()([torch.randn(1, c, 4, 6) for c in (8, 16, 32, 64)])

    @pytest.mark.slow
    @torch.no_grad()
    def test_a_compiled_one_takes_other_sizes(self):
        model = self.build().eval()
        torch._dynamo.reset()
        compiled = torch.compile(model, backend='aot_eager', fullgraph=True)
        for size in (64, 96):
            x = self.inputs(1, (size, size))
            torch.testing.assert_close(compiled(x)[-1], model(x)[-1])


class TestLocalSupervisionHead(ModelTester):
    config = dict(type='LocalSupervisionHead', in_channels=(32, 16, 8), num_classes=5, dropout_ratio=0)
    refusals = [
        (dict(num_clases=4), TypeError, 'unexpected keyword'),
        (
            dict(in_index=(0, 1)),
            ValueError,
            r'in_index names the map of each of in_channels, got in_index=\(0, 1\)',
        ),
        (dict(size_index=-1), ValueError, 'LocalSupervisionHead: size_index lists'),
    ]

    def inputs(self, batch, size):
        return maps(batch, size, (32, 16, 8, 8), (16, 8, 4, 1))

    def shapes(self, batch, size):
        return [(batch, 5, *size)]


class TestPixelHead(TestLocalSupervisionHead):
    config = dict(type='PixelHead', in_channels=8, num_classes=5)
    refusals = [
        (dict(num_clases=4), TypeError, 'unexpected keyword'),
        (dict(channels=32), ValueError, r'from in_channels=8 to the classes: leave channels=32 out'),
    ]


def test_maps_that_are_not_there_are_missed():
    with pytest.raises(ValueError, match=r"4 maps are expected, .* got 1: set the backbone's out_indices"):
        MambaSegDecoder((8, 16, 32, 64))([torch.randn(1, 8, 4, 4)])
    maps = [torch.randn(1, 8 << i, 8 >> i, 8 >> i) for i in range(4)]
    with pytest.raises(
        ValueError, match=r'in_channels is \[8, 16, 32, 32\], but the maps have \[8, 16, 32, 64\]'
    ):
        MambaSegDecoder((8, 16, 32, 32))(maps)


def test_maps_that_do_not_fit_local_supervision_are_named():
    with pytest.raises(ValueError, match=r'maps of \[8, 8\] channels, to which in_index=\[0, 1, 2\], '):
        LocalSupervisionHead((32, 16, 8))([torch.randn(1, 8, 4, 4)] * 2)


def test_a_single_pixel_does_not_train():
    with pytest.raises(ValueError, match='ResT: batch normalisation cannot train on a batch of one image'):
        MODELS.build(REST).train()(torch.randn(1, 3, 32, 32))


def test_losses_are_built_by_name():
    for name in ('SoftCrossEntropyLoss', 'SoftDiceLoss'):
        assert type(MODELS.build(dict(type=f'rsmamba_mm.{name}'))).__name__ == name


def test_pixel_head_has_no_channels_of_its_own():
    assert count(PixelHead(64, 6, channels=64)) == 390


def test_pixel_head_without_a_bias():
    head = PixelHead(8, 5, in_index=0, bias=False)
    assert [name for name, _ in head.named_parameters()] == ['conv_seg.weight']
    x = torch.randn(1, 8, 3, 4)
    torch.testing.assert_close(
        head([x]), torch.einsum('bchw,kc->bkhw', x, head.conv_seg.weight[:, :, 0, 0])
    )
