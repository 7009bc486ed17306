"""BANet, as the code of its authors and of UNetMamba's saves it."""

from __future__ import annotations

from torch import Tensor

from .files import Converted, needed, rename

_PLACES = {
    'cp.ResT.': 'backbone.context.',
    'cp.AE.attention.': 'backbone.attention.',
    'cp.AE.conv_attn.': 'backbone.attention_conv.',
    'cp.AE.up.proj.': 'backbone.expand.',
    'cp.conv_avg.': 'backbone.dependency_conv.',
    'sp.conv1.': 'backbone.texture.0.',
    'sp.conv2.': 'backbone.texture.1.',
    'sp.conv3.': 'backbone.texture.2.',
    'sp.conv_out.': 'backbone.texture.3.',
    'fam.convblk.': 'backbone.fuse.',
    'fam.conv_atten.': 'backbone.fuse_attention.',
    'conv_out.conv.': 'decode_head.conv.',
    'conv_out.conv_out.': 'decode_head.conv_seg.',
}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released BANet with ResT-Lite."""
    state_dict = rename(tensors, _PLACES, 'BANet')
    classes = len(needed(state_dict, 'decode_head.conv_seg.bias', 'BANet')) // 64  # of 8×8 pixels
    return Converted(state_dict, 'rsmamba_mm::_base_/models/banet_rest-lite.py', classes)
