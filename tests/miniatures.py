"""Models of the configs with everything but their size."""

from mmengine.registry import MODELS
from model_tester import REST

WIDTHS = REST['arch']['embed_dims']
VMAMBA = dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1), d_state=4, ssm_ratio=1.0, mlp_ratio=0.0)


def few_blocks(backbone: dict) -> dict:
    """What to change of a backbone, that it has two blocks, or two in each stage."""
    if 'depths' in backbone:  # mmseg's Swin
        return dict(depths=[2] * len(backbone['depths']))
    if 'depth' in backbone:  # a ResNet: its blocks are of one kind to 34, and of another from 50
        return dict(depth=min(backbone['depth'], 50))
    if isinstance(arch := backbone.get('arch', 'base'), dict):
        return {}
    settings = MODELS.get(f'mmpretrain.{backbone["type"]}').arch_zoo[arch]
    few = dict(num_layers=2) if 'num_layers' in settings else dict(depths=[2] * len(settings['depths']))
    return dict(arch={**settings, **few})


# by a part that tells the network
NARROW = {
    ('backbone', 'BANet'): dict(
        backbone=dict(context=dict(REST, out_indices=(2, 3)), context_channels=WIDTHS[2:], channels=8),
        decode_head=dict(in_channels=16),
    ),
    ('decode_head', 'MANetHead'): dict(
        backbone=dict(base_channels=8),  # of ResNet-50
        decode_head=dict(in_channels=(32, 64, 128, 256), channels=8),
    ),
    ('neck', 'DCFAM'): dict(
        backbone=dict(embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2)),
        neck=dict(in_channels=WIDTHS),
        decode_head=dict(in_channels=WIDTHS[:2]),
    ),
    ('neck', 'UNetFormerDecoder'): dict(
        backbone=dict(base_channels=8),  # of ResNet-18
        neck=dict(in_channels=WIDTHS, channels=8),
        decode_head=dict(in_channels=8),
        auxiliary_head=dict(in_channels=8),
    ),
}


def shrink(model: dict) -> None:
    """Leave a model few blocks, and to most segmenters narrow ones."""
    if (model.get('neck') or {}).get('type') == 'CMUNetDecoder':
        _shrink_cmunet(model)
        return
    if (model.get('decode_head') or {}).get('type') == 'PyramidMambaHead':
        _shrink_pyramidmamba(model)
        return
    if model['backbone']['type'] == 'ClusterMamba':
        _shrink_clustermamba(model)
        return
    if model['backbone']['type'] == 'AFMNet':
        _shrink_afmnet(model)
        return
    if model['backbone']['type'] == 'VMamba':
        settings = dict(MODELS.get('VMamba')._arch_settings(model['backbone']['arch']))
        model['backbone']['arch'] = {**settings, 'embed_dims': WIDTHS, 'depths': (1, 1, 1, 1)}
        model['head'].update(in_channels=WIDTHS[-1])
        return
    if model['backbone']['type'] == 'RS3MambaBackbone':
        _shrink_rs3mamba(model)
        return
    for (part, kind), changes in NARROW.items():
        if (model.get(part) or {}).get('type') == kind:
            for name, options in changes.items():
                model[name].update(options)
            return
    if model['backbone']['type'] != 'ResT':
        model['backbone'].update(few_blocks(model['backbone']))
        return
    model['backbone'].update(REST)
    if model['type'] == 'DenseCL':
        model['neck'].update(in_channels=WIDTHS[-1])
        return
    if model['type'] == 'ImageClassifier':
        model['head'].update(in_channels=WIDTHS[-1])
        return
    model['neck'].update(in_channels=WIDTHS)
    model['decode_head'].update(in_channels=WIDTHS[0], channels=WIDTHS[0])
    if model.get('auxiliary_head'):
        model['auxiliary_head'].update(in_channels=WIDTHS[2::-1])


def _shrink_cmunet(model: dict) -> None:
    model['backbone'].update(base_channels=8)  # of ResNet-18
    model['neck'].update(in_channels=WIDTHS)
    for head in (model['decode_head'], *model['auxiliary_head']):
        head['in_channels'] //= 8


def _shrink_pyramidmamba(model: dict) -> None:
    if model['backbone']['type'] == 'ResNet':
        model['backbone'].update(base_channels=8)
    else:
        model['backbone'].update(embed_dims=16, num_heads=(1, 1, 1, 1), **few_blocks(model['backbone']))
    head = model['decode_head']
    head.update(in_channels=[width // 8 for width in head['in_channels']])
    head.update(pool_channels=8, hidden_channels=16, mid_channels=8, channels=8)


def _shrink_rs3mamba(model: dict) -> None:
    cnn = model['backbone']['cnn']
    cnn.update(REST if cnn['type'] == 'ResT' else dict(base_channels=8))
    model['backbone']['ssm'].update(arch=VMAMBA)
    model['backbone'].update(cnn_channels=WIDTHS, ssm_channels=WIDTHS, num_heads=2)
    model['neck'].update(in_channels=WIDTHS, channels=8)
    model['decode_head'].update(in_channels=8)


def _shrink_clustermamba(model: dict) -> None:
    backbone = model['backbone']
    frozen = min(backbone.get('frozen_stages', -1), 4)
    backbone.update(arch=dict(embed_dims=16, num_layers=4), frozen_stages=frozen)
    if model['type'] == 'RoMA':
        outputs = len(model['neck']['in_channels'])
        backbone.update(out_indices=list(range(4))[-outputs:])
        model['neck'].update(in_channels=[16] * outputs, embed_dims=16, num_layers=2, num_heads=2)
    elif model['type'] == 'ImageClassifier':
        model['head'].update(in_channels=16)
        if model.get('neck'):
            model['neck'].update(input_features=16)
    else:
        backbone.update(out_indices=(0, 1, 2, 3))
        if model['neck']['type'] == 'MambaSegDecoder':
            model['neck'].update(in_channels=[16] * 4)
            model['decode_head'].update(in_channels=16)
            model['auxiliary_head'].update(in_channels=(16, 16, 16))
        else:
            model['neck'].update(embed_dim=16)
            model['decode_head'].update(in_channels=[16] * 4, channels=8)
            model['auxiliary_head'].update(in_channels=16, channels=8)


def _shrink_afmnet(model: dict) -> None:
    cnn = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(1, 2, 3))
    model['backbone'].update(cnn=cnn, cnn_channels=WIDTHS[1:], embed_dims=16, num_layers=3)
    model['backbone'].update(mamba_indices=(0, 1, 2), channels=8, planes=(4, 4, 4))
    model['head'].update(in_channels=48, inner=8)
