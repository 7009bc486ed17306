"""UNetFormer, as the code of its authors and of UNetMamba's saves it."""

from __future__ import annotations

from torch import Tensor

from .files import Converted, needed, rename

# of a block's attention and MLP, below where it stands
BLOCK = {
    'attn.qkv.0.': 'attn.qkv.',
    **{f'attn.local{i}.0.': f'attn.local{i}.conv.' for i in (1, 2)},
    **{f'attn.local{i}.1.': f'attn.local{i}.bn.' for i in (1, 2)},
    'mlp.fc1.': 'mlp.0.',
    'mlp.fc2.': 'mlp.2.',
    '': '',
}
_REFINEMENT = {
    'pa.0.': 'pixel_gate.',
    'ca.1.0.': 'channel_gate.1.',
    'ca.3.0.': 'channel_gate.3.',
    'shortcut.0.': 'shortcut.conv.',
    'shortcut.1.': 'shortcut.bn.',
    'proj.': 'proj.',
}
# the decoder and its head, which RS3Mamba has too
DECODER = {
    'decoder.pre_conv.0.': 'neck.pre_conv.conv.',
    'decoder.pre_conv.1.': 'neck.pre_conv.bn.',
    'decoder.segmentation_head.0.0.': 'decode_head.conv.conv.',
    'decoder.segmentation_head.0.1.': 'decode_head.conv.bn.',
    'decoder.segmentation_head.2.0.': 'decode_head.conv_seg.',
    **{f'decoder.p1.{theirs}': f'neck.refine.{ours}' for theirs, ours in _REFINEMENT.items()},
}
for _i in range(3):
    DECODER |= {f'decoder.b{4 - _i}.{a}': f'neck.blocks.{_i}.{b}' for a, b in BLOCK.items()}
    DECODER |= {
        f'decoder.p{3 - _i}.weights': f'neck.fusions.{_i}.weights',
        f'decoder.p{3 - _i}.pre_conv.0.': f'neck.fusions.{_i}.lateral.',
        f'decoder.p{3 - _i}.post_conv.0.': f'neck.fusions.{_i}.conv.conv.',
        f'decoder.p{3 - _i}.post_conv.1.': f'neck.fusions.{_i}.conv.bn.',
    }
_PLACES = {
    'backbone.': 'backbone.',
    **DECODER,
    'decoder.aux_head.conv.0.': 'auxiliary_head.conv.conv.',
    'decoder.aux_head.conv.1.': 'auxiliary_head.conv.bn.',
    'decoder.aux_head.conv_out.0.': 'auxiliary_head.conv_seg.',
}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released UNetFormer with ResNet-18, with its auxiliary head if it has it."""
    state_dict = rename(tensors, _PLACES, 'UNetFormer')
    classes = len(needed(state_dict, 'decode_head.conv_seg.weight', 'UNetFormer'))
    return Converted(state_dict, 'rsmamba_mm::_base_/models/unetformer_r18.py', classes)
