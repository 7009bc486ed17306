"""The gradients of one image are those of the same image twice, for every model: losses are means."""

import pytest
import torch
from miniatures import VMAMBA
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from model_tester import REST
from torch import nn

import rsmamba_mm.models  # noqa: F401 - registers

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

MIXER = dict(type='RSMamba', arch=dict(embed_dims=32, num_layers=4, feedforward_channels=64), img_size=64)
MSD = dict(type='MambaSegDecoder', in_channels=(8, 16, 32, 64), drop_path_rate=0)
RESNET = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2, 3))


def segmenter(backbone: dict, neck: dict, channels: tuple, kind: str = 'EncoderDecoder') -> nn.Module:
    """A segmenter of mmseg with the losses of UNetMamba."""
    ce = dict(type='SoftCrossEntropyLoss', smooth_factor=0.05)
    head = dict(type='PixelHead', in_channels=channels[-1], num_classes=5)
    local = dict(type='LocalSupervisionHead', in_channels=channels, num_classes=5, dropout_ratio=0)
    init_default_scope('mmseg')
    return MODELS.build(
        dict(
            type=kind,
            backbone=backbone,
            neck=neck,
            # the smoothing term of Dice would count once beside two images
            decode_head=head | dict(loss_decode=[ce, dict(type='SoftDiceLoss', smooth=0)]),
            auxiliary_head=local | dict(loss_decode=dict(ce, loss_weight=0.4)),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )


def classifier(backbone: dict, channels: int, neck: dict | None = None) -> nn.Module:
    """A classifier of mmpretrain."""
    init_default_scope('mmpretrain')
    head = dict(type='LinearClsHead', num_classes=5, in_channels=channels)
    return MODELS.build(dict(type='ImageClassifier', backbone=backbone, neck=neck, head=head))


def maps_of_rsmamba() -> nn.Module:
    neck = dict(type='MambaSegDecoder', in_channels=(32,) * 4, pyramid=(2, 1, 0.5, 0.25), drop_path_rate=0)
    return segmenter(MIXER | dict(out_type='featmap', out_indices=(0, 1, 2, 3)), neck, (32, 32, 32))


def pyramidmamba() -> nn.Module:
    init_default_scope('mmseg')
    head = dict(
        type='PyramidMambaHead', in_channels=(8, 64), num_classes=5, pool_channels=8, dropout_ratio=0
    )
    ce = dict(type='SoftCrossEntropyLoss', smooth_factor=0.05)
    return MODELS.build(dict(type='EncoderDecoder', backbone=REST, decode_head=head | dict(loss_decode=ce)))


def banet() -> nn.Module:
    options = dict(context=REST | dict(out_indices=(2, 3)), context_channels=(32, 64), channels=8)
    head = dict(type='PixelShuffleHead', in_channels=16)
    return peer(dict(type='BANet', **options), head)


def dcswin() -> nn.Module:
    neck = dict(type='DCFAM', in_channels=(8, 16, 32, 64))
    return peer(REST, dict(type='DCSwinHead', in_channels=(8, 16), dropout_ratio=0), neck)


def rs3mamba() -> dict:
    ssm = dict(type='VMamba', arch=VMAMBA, in_channels=4, patch_size=2, drop_path_rate=0)
    widths = dict(cnn_channels=(8, 16, 32, 64), ssm_channels=(8, 16, 32, 64), stem_channels=4, num_heads=2)
    return dict(type='RS3MambaBackbone', cnn=REST, ssm=ssm, **widths)


def unetformer(backbone: dict) -> nn.Module:
    neck = dict(type='UNetFormerDecoder', in_channels=(8, 16, 32, 64), channels=16)
    return peer(backbone, dict(type='UNetFormerHead', in_channels=16, dropout_ratio=0), neck)


def peer(backbone: dict, head: dict, neck: dict | None = None) -> nn.Module:
    """A segmenter without an auxiliary head."""
    init_default_scope('mmseg')
    ce = dict(type='SoftCrossEntropyLoss', smooth_factor=0.05)
    losses = dict(num_classes=5, loss_decode=[ce, dict(type='SoftDiceLoss', smooth=0)])
    return MODELS.build(
        dict(type='EncoderDecoder', backbone=backbone, neck=neck, decode_head=head | losses)
    )


MODELS_TO_TRY = {
    'rsmamba': lambda: classifier(MIXER, 32),
    'rest': lambda: classifier(REST | dict(out_indices=(3,)), 64, dict(type='GlobalAveragePooling')),
    'vmamba': lambda: classifier(
        dict(type='VMamba', arch=VMAMBA, out_indices=(3,), drop_path_rate=0),
        64,
        dict(type='GlobalAveragePooling'),
    ),
    'unetmamba': lambda: segmenter(REST, MSD, (32, 16, 8)),
    'smooth_unetmamba': lambda: segmenter(REST, MSD, (32, 16, 8), 'SmoothEncoderDecoder'),
    'unetmamba_rsmamba': maps_of_rsmamba,
    'cmunet': lambda: segmenter(REST, MSD | dict(type='CMUNetDecoder'), (16, 8, 8)),
    'pyramidmamba': pyramidmamba,
    'banet': banet,
    'manet': lambda: peer(REST, dict(type='MANetHead', in_channels=(8, 16, 32, 64), channels=8)),
    'dcswin': dcswin,
    'unetformer': lambda: unetformer(REST),
    'rs3mamba': lambda: unetformer(rs3mamba()),
    'unetmamba_resnet18': lambda: segmenter(
        RESNET, MSD | dict(in_channels=(64, 128, 256, 512)), (256, 128, 64)
    ),
}


def gradients(model: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of the model's own losses; its random orders are the same at each call."""
    from mmpretrain.structures import DataSample
    from mmseg.structures import SegDataSample

    samples = []
    for _ in image:
        if hasattr(model, 'decode_head'):
            sample = SegDataSample(metainfo=dict(img_shape=image.shape[-2:]))
            labels = torch.arange(image[0, 0].numel()).div(97, rounding_mode='floor') % 5
            sample.gt_sem_seg = PixelData(data=labels.view(1, *image.shape[-2:]))
        else:
            sample = DataSample().set_gt_label(3)
        samples.append(sample)
    model.zero_grad()
    torch.manual_seed(0)
    sum(value for name, value in model.loss(image, samples).items() if 'loss' in name).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize('size', [(64, 64), (40, 72)], ids=str)
@pytest.mark.parametrize('name', MODELS_TO_TRY)
def test_gradients_of_one_image_are_those_of_the_image_twice(name, size):
    torch.manual_seed(0)
    model = MODELS_TO_TRY[name]()
    model.init_weights()
    model.double()
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    one, two = (gradients(model, batch) for batch in (image, image.expand(2, -1, -1, -1)))
    largest = max(g.norm() for g in two.values())
    wrong = [n for n, g in one.items() if (g - two[n]).norm() > 1e-7 * (two[n].norm() + 1e-3 * largest)]
    assert not wrong, f'{len(wrong)} of {len(one)} gradients differ, among them {wrong[:5]}'
