"""AFM-Net, as the code of its authors saves it."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...errors import OptionError
from .files import Converted, needed, rename

_UNUSED = (
    'cnn_backbone.fc.',
    'mamba_branch.norm_f.',
    'mamba_branch.pool_norm.',
    'mamba_branch.rope_for_vim.',
)
_PLACES = {
    'cnn_backbone.': 'backbone.cnn.',
    'cnn_adapter_layers.': 'backbone.cnn_adapters.',
    'cnn_fedab_enhancers.': 'backbone.cnn_enhancers.',
    'mamba_branch.cls_token': 'backbone.cls_token',
    'mamba_branch.pos_embed': 'backbone.pos_embed',
    'mamba_branch.patch_embed.proj.': 'backbone.patch_embed.projection.',
    'mamba_branch.patch_embed.norm.': 'backbone.patch_norm.',
    'mamba_branch.layers.': 'backbone.layers.',
    'mamba_branch.path_gate_layers.': 'backbone.path_gates.',
    'mamba_adapter_layers.': 'backbone.mamba_adapters.',
    'mamba_fedab_enhancers.': 'backbone.mamba_enhancers.',
    'scale_fusion_blocks.': 'backbone.fusions.',
    'fusion_moe_layer.gate.gate_proj.': 'head.experts.gate.',
    'fusion_moe_layer.experts.': 'head.experts.routed.',
    'fusion_moe_layer.shared_mlp.': 'head.experts.shared.',
    'final_classifier.': 'head.fc.',
}
_RULES = [
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r'path_gates\.(\d+)\.0\.', r'layers.\1.gate.'),
        (r'\.shared\.(w\d)\.weight', r'.shared_\1'),
        (r'\.block\.conv_1x1_input\.', '.reduce.'),
        (r'\.block\.conv_1x1_output\.', '.expand.'),
        (r'\.block\.fusion_conv\.', '.join.'),
        (r'\.block\.branch([12])\.0\.', lambda m: f'.branches.{int(m[1]) - 1}.'),
        (r'\.block\.branch3\.', '.branches.2.'),
        (r'\.block\.ca\.shared_mlp\.', '.channel_gate.fc.'),
        (r'\.block\.sa\.conv_block\.', '.spatial_gate.'),
        (r'(branches\.\d\.)conv1\.', r'\1reduce.conv.'),
        (r'(branches\.\d\.)bn1\.', r'\1reduce.bn.'),
        (r'(branches\.\d\.)conv3\.', r'\1expand.conv.'),
        (r'(branches\.\d\.)bn3\.', r'\1expand.bn.'),
        (r'\.conv2_dwsc\.', '.spatial.'),
        (r'\.block\.shortcut_conv\.', '.shortcut.'),
        (r'\.depthwise\.', '.depthwise_conv.conv.'),
        (r'\.bn_dw\.', '.depthwise_conv.bn.'),
        (r'\.pointwise\.', '.pointwise_conv.conv.'),
        (r'\.bn_pw\.', '.pointwise_conv.bn.'),
    )
]
_DATA = {21: 'ucmerced', 30: 'aid', 45: 'resisc45'}  # by the number of their classes


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released AFM-Net of any number of classes and experts.

    The two published variants have configs here. The shapes do not tell how many experts are active, so
    that others need the config of their model.
    """
    left_out = [name for name in tensors if name.startswith(_UNUSED)]
    state_dict = rename(
        {name: x for name, x in tensors.items() if not name.startswith(_UNUSED)}, _PLACES, 'AFM-Net'
    )
    for pattern, ours in _RULES:
        state_dict = {pattern.sub(ours, name): x for name, x in state_dict.items()}
    experts = len(needed(state_dict, 'head.experts.gate.weight', 'AFM-Net'))
    for w in ('w1', 'w2', 'w3'):
        names = [f'head.experts.routed.{e}.{w}.weight' for e in range(experts)]
        if absent := [name for name in names if name not in state_dict]:
            raise OptionError(f'a released AFM-Net with a gate of {experts} experts lacks {absent[0]}')
        state_dict[f'head.experts.{w}'] = torch.stack([state_dict.pop(name) for name in names])
    inner = state_dict['head.experts.w1'].shape[1]
    shared_w1 = state_dict.get('head.experts.shared_w1')
    shared = 0 if shared_w1 is None else len(shared_w1) // inner
    classes = len(needed(state_dict, 'head.fc.weight', 'AFM-Net'))
    dense = any('.fusions.1.shortcut.' in name for name in state_dict)
    variant = {(False, 64, 1408, 2): 'released', (True, 8, 768, 1): 'dense-moe8'}.get(
        (dense, experts, inner, shared)
    )
    config = (
        None if variant is None else f'rsmamba_mm::afmnet/afmnet-{variant}_{_DATA.get(classes, "aid")}.py'
    )
    return Converted(state_dict, config, classes, left_out)
