"""Efficient PyramidMamba on ResNet-18."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .files import Converted, needed, rename


def _conv_bn(theirs: str, ours: str) -> dict[str, str]:
    """The places of a convolution and its batch norm."""
    return {f'{theirs}.0.': f'{ours}.conv.', f'{theirs}.1.': f'{ours}.bn.'}


# where the parts of the released network stand in mmseg's EncoderDecoder
_PLACES = {
    'backbone.': 'backbone.',
    **_conv_bn('decoder.b3.mamba.pool_layers.0.0', 'decode_head.pools.0'),
    'decoder.b3.mamba.mamba.': 'decode_head.mixer.',
    **_conv_bn('decoder.b3.conv_ffn.conv', 'decode_head.ffn.0'),
    'decoder.b3.conv_ffn.fc1.0.': 'decode_head.ffn.1.',
    'decoder.b3.conv_ffn.fc2.0.': 'decode_head.ffn.4.',
    **_conv_bn('decoder.pre_conv', 'decode_head.lateral'),
    'decoder.head.4.0.': 'decode_head.conv_seg.',
}
for i in (1, 2, 3):
    _PLACES |= _conv_bn(f'decoder.b3.mamba.pool_layers.{i}.1', f'decode_head.pools.{i}')
for i in (0, 1, 2):
    _PLACES |= _conv_bn(f'decoder.up_conv.{2 * i}', f'decode_head.up.{i}')
for i in (0, 1):
    _PLACES |= _conv_bn(f'decoder.head.{2 * i}', f'decode_head.last.{i}')


def convert(tensors: Mapping[str, Tensor]) -> Converted:
    """A released Efficient PyramidMamba. The sides of its pools are no weights: they follow from the
    config."""
    state_dict = rename(tensors, _PLACES, 'PyramidMamba')
    classes = len(needed(state_dict, 'decode_head.conv_seg.weight', 'PyramidMamba'))
    of_resnet18 = 'backbone.layer4.1.conv2.weight' in state_dict
    config = 'rsmamba_mm::_base_/models/pyramidmamba_r18.py' if of_resnet18 else None
    return Converted(state_dict, config, classes)
