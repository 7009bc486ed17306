"""Decoders behind encoders that they were not published with; ``docs/mixing.md`` lists the same pairs."""

import re
from pathlib import Path

import pytest
import torch
from miniatures import VMAMBA
from mmengine.registry import MODELS, init_default_scope
from model_tester import REST
from torch import nn

pytest.importorskip('mmseg.models')
from golden import samples

DOCUMENT = Path(__file__).parents[2] / 'docs' / 'mixing.md'
WIDTHS = REST['arch']['embed_dims']
RESNET = dict(type='ResNet', depth=18, base_channels=8)
RSMAMBA = dict(
    type='RSMamba',
    arch=dict(embed_dims=16, num_layers=4, feedforward_channels=32),
    img_size=64,
    patch_cfg=dict(stride=8),
    out_type='featmap',
    out_indices=(0, 1, 2, 3),
)

# name: the backbone, narrow, and the channels of its maps
ENCODERS = {
    'ResT': (REST, WIDTHS),
    'RSMamba': (RSMAMBA, (16,) * 4),
    'ResNet-18': (RESNET, WIDTHS),
    'ResNet-50': (dict(RESNET, depth=50), (32, 64, 128, 256)),
    'Swin-T': (
        dict(type='SwinTransformer', embed_dims=8, depths=(1,) * 4, num_heads=(1, 1, 2, 2)),
        WIDTHS,
    ),
    'ConvNeXt-T': (  # halves odd sizes rounded down
        dict(
            type='mmpretrain.ConvNeXt',
            arch=dict(depths=[1] * 4, channels=list(WIDTHS)),
            out_indices=(0, 1, 2, 3),
            gap_before_final_norm=False,
        ),
        WIDTHS,
    ),
    'VMamba': (dict(type='VMamba', arch=VMAMBA), WIDTHS),
    'RS3Mamba': (
        dict(
            type='RS3MambaBackbone',
            cnn=RESNET,
            ssm=dict(type='VMamba', arch=VMAMBA, in_channels=4, patch_size=2, out_norm=False),
            cnn_channels=WIDTHS,
            ssm_channels=WIDTHS,
            stem_channels=4,
            num_heads=2,
        ),
        WIDTHS,
    ),
}


def unetformer(widths):
    neck = dict(type='UNetFormerDecoder', in_channels=widths, channels=8)
    return neck, dict(type='UNetFormerHead', in_channels=8), dict(type='UNetFormerAuxHead', in_channels=8)


def dcswin(widths):
    return dict(type='DCFAM', in_channels=widths), dict(type='DCSwinHead', in_channels=widths[:2]), None


def msd_lsm(widths):
    local = dict(type='LocalSupervisionHead', in_channels=widths[2::-1])
    return (
        dict(type='MambaSegDecoder', in_channels=widths, depths=(1, 1, 1)),
        dict(type='PixelHead', in_channels=widths[0]),
        local,
    )


# name: what gives neck, head and auxiliary head for the channels of four maps
DECODERS = {'UNetFormer': unetformer, 'DC-Swin': dcswin, 'MSD and LSM': msd_lsm}
PAIRS = [
    *((decoder, encoder) for decoder in ('UNetFormer', 'DC-Swin') for encoder in ('ResT', 'RSMamba')),
    *(('MSD and LSM', encoder) for encoder in ENCODERS),
]


def mixed(decoder: str, encoder: str) -> nn.Module:
    """A segmenter of the two."""
    backbone, widths = ENCODERS[encoder]
    neck, head, auxiliary = DECODERS[decoder](widths)
    if encoder == 'RSMamba':  # whose maps share the stride 8
        neck['pyramid'] = (2, 1, 0.5, 0.25)
    init_default_scope('mmseg')
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=backbone,
            neck=neck,
            decode_head=dict(head, num_classes=5, loss_decode=dict(type='SoftCrossEntropyLoss')),
            auxiliary_head=auxiliary and dict(auxiliary, num_classes=5),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )
    model.init_weights()
    return model


@pytest.mark.smoke
@pytest.mark.parametrize(('decoder', 'encoder'), PAIRS, ids=map(' behind '.join, PAIRS))
def test_a_pair_is_built_and_takes_a_step(decoder, encoder):
    torch.manual_seed(0)
    model = mixed(decoder, encoder).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    images, truth = torch.randn(2, 3, 64, 96), samples(2, (64, 96), 5)
    # the gate of linear attention starts closed: what is behind it moves from the second step on
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        loss = sum(value for name, value in model.loss(images, truth).items() if 'loss' in name)
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    moved = {name.split('.')[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name.split('.')[0] for name in before}
    assert model.eval()(images[:, :, :33, :70]).shape[:2] == (2, 5)


def test_the_document_lists_these_pairs():
    text = DOCUMENT.read_text(encoding='utf-8')
    listed = re.findall(r'^\| ([^|]+) \| ([^|]+) \| built, took a step \|', text, flags=re.MULTILINE)
    assert [(decoder, encoder) for decoder, encoder in listed] == PAIRS
