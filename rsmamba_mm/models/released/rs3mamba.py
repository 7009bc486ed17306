"""RS3Mamba, as the code of its authors and of UNetMamba's saves it."""

from __future__ import annotations

from torch import Tensor

from .files import Converted, needed, rename
from .unetformer import BLOCK, DECODER

# each part of the main branch has two names, of which the last in a file counts
_PLACES = {
    **{f'{prefix}conv1.': 'backbone.cnn.conv1.' for prefix in ('', 'backbone.')},
    **{f'{prefix}bn1.': 'backbone.cnn.bn1.' for prefix in ('', 'backbone.')},
    **{f'backbone.layer{i}.': f'backbone.cnn.layer{i}.' for i in range(1, 5)},
    **{f'layers.{i}.': f'backbone.cnn.layer{i + 1}.' for i in range(4)},
    'stem.': 'backbone.stem.',
    'vssm_encoder.': 'backbone.ssm.',
    **{f'vssm_encoder.downsamples.{i}.': f'backbone.ssm.layers.{i}.downsample.' for i in range(3)},
    **DECODER,
}
_FUSION = BLOCK | {'normx.': 'norm1.', 'normy.': 'norm_local.'}
for _i in range(4):
    _PLACES |= {f'Fuse.{_i}.{a}': f'backbone.fusions.{_i}.{b}' for a, b in _FUSION.items()}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released RS3Mamba with ResNet-18 and VMamba-T."""
    state_dict = rename(tensors, _PLACES, 'RS3Mamba')
    for theirs, ours in (('.ln_1.', '.norm.'), ('.self_attention.', '.op.')):
        state_dict = {name.replace(theirs, ours): x for name, x in state_dict.items()}
    classes = len(needed(state_dict, 'decode_head.conv_seg.weight', 'RS3Mamba'))
    return Converted(state_dict, 'rsmamba_mm::_base_/models/rs3mamba.py', classes)
