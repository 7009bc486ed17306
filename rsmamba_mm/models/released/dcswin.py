"""DC-Swin, as the code of its authors and of UNetMamba's saves it."""

from __future__ import annotations

from torch import Tensor

from .files import Converted, needed, rename
from .swin import swin_to_mmseg

_BLOCKS = dict(down12='down12', down231='down123', down232='down23', down34='down34')
_PARTS = {
    'convbn1.0.': 'conv1.conv.',
    'convbn1.1.': 'conv1.bn.',
    'convbn2.0.': 'conv2.conv.',
    'convbn2.1.': 'conv2.bn.',
    'downsample.0.': 'shortcut.conv.',
    'downsample.1.': 'shortcut.bn.',
}
_SEPARABLE = {
    '0.': 'depthwise_conv.conv.',
    '1.': 'pointwise_conv.conv.',
    '2.': 'pointwise_conv.bn.',
}
_PLACES = {
    'decoder.dcfam.conv1.0.': 'neck.lateral1.',
    'decoder.dcfam.conv4.0.': 'neck.lateral4.',
    'decoder.dcfam.pa.': 'neck.pixels.',
    'decoder.dcfam.ca.': 'neck.channels.',
    'decoder.up.0.0.': 'decode_head.lateral.conv.',
    'decoder.up.0.1.': 'decode_head.lateral.bn.',
    'decoder.segmentation_head.0.0.': 'decode_head.conv.conv.',
    'decoder.segmentation_head.0.1.': 'decode_head.conv.bn.',
    'decoder.segmentation_head.1.0.': 'decode_head.conv_seg.',
}
for _theirs, _ours in _BLOCKS.items():
    _PLACES |= {f'decoder.dcfam.{_theirs}.{a}': f'neck.{_ours}.{b}' for a, b in _PARTS.items()}
for _theirs, _ours in {'lf4.0': 'up43', 'lf4.2': 'up42', 'lf3.0': 'up32', 'lf3.2': 'up31'}.items():
    _PLACES |= {f'decoder.dcfam.{_theirs}.{a}': f'neck.{_ours}.{b}' for a, b in _SEPARABLE.items()}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released DC-Swin with Swin-T, -S or -B."""
    encoder = {name: x for name, x in tensors.items() if name.startswith('backbone.')}
    decoder = {name: x for name, x in tensors.items() if name not in encoder}
    state_dict = swin_to_mmseg(encoder) | rename(decoder, _PLACES, 'DC-Swin')
    classes = len(needed(state_dict, 'decode_head.conv_seg.weight', 'DC-Swin'))
    width = len(needed(state_dict, 'backbone.patch_embed.projection.weight', 'DC-Swin'))
    blocks = {name.split('.')[4] for name in state_dict if name.startswith('backbone.stages.2.blocks.')}
    size = {(96, 6): 't', (96, 18): 's', (128, 18): 'b'}.get((width, len(blocks)))
    config = None if size is None else f'rsmamba_mm::_base_/models/dcswin_swin-{size}.py'
    return Converted(state_dict, config, classes)
