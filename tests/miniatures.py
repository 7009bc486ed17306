"""Models of the configs with everything but their size."""

from mmengine.registry import MODELS
from model_tester import REST

WIDTHS = REST['arch']['embed_dims']


def few_blocks(backbone: dict) -> dict:
    """What to change of a backbone, that it has two blocks, or two in each stage."""
    if 'depth' in backbone:  # a ResNet: its blocks are of one kind to 34, and of another from 50
        return dict(depth=min(backbone['depth'], 50))
    if isinstance(arch := backbone.get('arch', 'base'), dict):
        return {}
    settings = MODELS.get(f'mmpretrain.{backbone["type"]}').arch_zoo[arch]
    few = dict(num_layers=2) if 'num_layers' in settings else dict(depths=[2] * len(settings['depths']))
    return dict(arch={**settings, **few})


def shrink(model: dict) -> None:
    """Leave a model few blocks, and to a UNetMamba on ResT narrow ones."""
    if model['backbone']['type'] != 'ResT':
        model['backbone'].update(few_blocks(model['backbone']))
        return
    model['backbone'].update(REST)
    model['neck'].update(in_channels=WIDTHS)
    model['decode_head'].update(in_channels=WIDTHS[0], channels=WIDTHS[0])
    if model.get('auxiliary_head'):
        model['auxiliary_head'].update(in_channels=WIDTHS[2::-1])
