"""MANet, as the code of its authors and of UNetMamba's saves it."""

from __future__ import annotations

from torch import Tensor

from .files import Converted, needed, rename

_LAYERS = dict(conv1=0, norm1=1, deconv2=3, norm2=4, conv3=6, norm3=7)
_PLACES = {
    'backbone.': 'backbone.',
    'finaldeconv1.': 'decode_head.up.0.',
    'finalconv2.': 'decode_head.up.2.',
    'finalconv3.': 'decode_head.conv_seg.',
}
for _i in range(4):
    _PLACES[f'attention{_i + 1}.PAM.'] = f'decode_head.attentions.{_i}.position.'
    _PLACES[f'attention{_i + 1}.CAM.'] = f'decode_head.attentions.{_i}.channel.'
    _PLACES |= {f'decoder{_i + 1}.{a}.': f'decode_head.blocks.{_i}.{b}.' for a, b in _LAYERS.items()}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released MANet with ResNet-50."""
    state_dict = rename(tensors, _PLACES, 'MANet')
    classes = len(needed(state_dict, 'decode_head.conv_seg.bias', 'MANet'))
    return Converted(state_dict, 'rsmamba_mm::_base_/models/manet_r50.py', classes)
