"""CM-UNet, whose released network has parts that it never uses."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .files import Converted, needed, rename

# where the parts of the released network stand in mmseg's EncoderDecoder
_PLACES = {
    'backbone.': 'backbone.',
    'layers_up.0.0.blocks.': 'neck.stages.0.',
    'layers_up.0.1.': 'neck.expand_layers.0.',
    **{f'layers_up.{i}.blocks.': f'neck.stages.{i}.' for i in (1, 2, 3)},
    **{f'layers_up.{i}.upsample.': f'neck.expand_layers.{i}.' for i in (1, 2)},
    **{f'concat_back_dim.{i}.': f'neck.concat_back_dim.{i - 1}.' for i in (1, 2, 3)},
    'transfer.': 'neck.aggregate.transfer.',
    'AFFs.': 'neck.aggregate.levels.',
    'norm_up.': 'neck.norm.',
    'output.': 'decode_head.conv_seg.',
    **{f'conv{i}.': f'auxiliary_head.{i - 2}.conv_seg.' for i in (2, 3, 4)},
}
_PARTS = {
    '.ln_1.': '.norm.',
    '.self_attention.': '.op.',
    '.adjust_channels.': '.expand.',
    '.fusion_conv.': '.',
    '.conv_3x3.': '.convs.0.',
    '.conv_5x5.': '.convs.1.',
    '.conv_7x7.': '.convs.2.',
    '.channel_attention.': '.channel_gate.',
    '.spatial_attention.conv1.': '.spatial_gate.conv.',
}
# the decoder's norm at the encoder's width, its enlargement by 4, and a second convolution in each MSAA
_NEVER_USED = (
    'norm.weight',
    'norm.bias',
    'up.expand.weight',
    'up.norm.weight',
    'up.norm.bias',
    *(f'AFFs.{i}.fusion_conv.down_2.{kind}' for i in range(3) for kind in ('weight', 'bias')),
)


def convert(tensors: Mapping[str, Tensor]) -> Converted:
    """A released CM-UNet, without the parts that it never uses (79,344 parameters) and with its auxiliary
    heads, if it has them."""
    used, left_out = {}, []
    for name, tensor in tensors.items():
        bare = name.removeprefix('mamba_unet.')
        if bare in _NEVER_USED:
            left_out.append(name)
        else:
            used[_our_parts(bare)] = tensor
    state_dict = rename(used, _PLACES, 'CM-UNet')
    for name, weight in state_dict.items():
        if name.endswith('.expand.weight'):  # a 1×1 convolution there
            state_dict[name] = weight.flatten(1)
    classes = len(needed(state_dict, 'decode_head.conv_seg.weight', 'CM-UNet'))
    blocks = {tuple(name.split('.')[2:4]) for name in state_dict if name.startswith('neck.stages.')}
    two_each = blocks == {(stage, block) for stage in '0123' for block in '01'}
    config = 'rsmamba_mm::_base_/models/cmunet_r18.py' if two_each else None
    return Converted(state_dict, config, classes, left_out)


def _our_parts(name: str) -> str:
    for theirs, ours in _PARTS.items():
        name = name.replace(theirs, ours)
    return name
