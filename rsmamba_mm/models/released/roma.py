"""RoMA, as the code of its authors saves it: of pre-training, or the classifier with four scan orders."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import OptionError
from ..backbones.cluster_mamba import ClusterMamba
from .files import Converted, needed, rename

# constants that the authors' code saves
_CONSTANTS = ('pos_embed', 'dec_pos_embed', 'mask')
_ENCODER = {'patch_embed.proj.': 'backbone.patch_embed.projection.', 'layers.': 'backbone.layers.'}
_PRETRAINING = {
    'angle_embed': 'angle_embed',
    'ar_token': 'neck.query',
    'enc2dec.': 'neck.in_proj.',
    'ar_norm.': 'neck.norm.',
    'ar_pred.': 'neck.pred.',
    **{f'norm_{i + 1}.': f'neck.in_norms.{i}.' for i in range(4)},
    **{
        f'dec_block.{i}.{theirs}.': f'neck.layers.{i}.{ours}.'
        for i in range(4)
        for theirs, ours in dict(
            attn2='attn', norm2_1='norm_q', norm2_2='norm_kv', norm2='norm_mlp', mlp='mlp'
        ).items()
    },
}
_DOWNSTREAM = {
    'cls_token': 'backbone.cls_token',
    'pos_embed': 'backbone.pos_embed',
    'norm_f.': 'backbone.ln1.',
    'head.': 'head.fc.',
}
# what the names of parameters end in that each order has on its own: row by row, reversed, column by column
_SUFFIXES = ('', '_b', '_c', '_c_b')
_OWN = ('conv1d.weight', 'conv1d.bias', 'x_proj.weight', 'dt_proj.weight', 'dt_proj.bias', 'A_log', 'D')


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released RoMA, of pre-training or a classifier of any number of classes."""
    width = needed(tensors, 'patch_embed.proj.bias', 'RoMA').numel()
    blocks = len({name.split('.')[1] for name in tensors if name.startswith('layers.')})
    zoo = {(size['embed_dims'], size['num_layers']): arch for arch, size in ClusterMamba.arch_zoo.items()}
    arch = zoo.get((width, blocks))
    if 'ar_pred.weight' in tensors:
        kept = {name: x for name, x in tensors.items() if name not in _CONSTANTS}
        state_dict = rename(kept, _ENCODER | _PRETRAINING, 'RoMA')
        config = None if arch is None else f'rsmamba_mm::_base_/models/roma-{arch[0]}.py'
        left_out = tuple(name for name in tensors if name in _CONSTANTS)
        return Converted(state_dict, config, None, left_out)
    classes = len(needed(tensors, 'head.weight', 'RoMA'))
    state_dict = rename(_stacked(tensors), _ENCODER | _DOWNSTREAM, 'RoMA')
    config = None if arch is None else f'rsmamba_mm::_base_/models/clustermamba-{arch[0]}_released.py'
    return Converted(state_dict, config, classes)


def _stacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All orders' parameters in one, by the names of the first."""
    stacked, missing = dict(tensors), []
    for name in tensors:
        start, mixer, part = name.partition('.mixer.')
        if not mixer or part not in _OWN:
            continue
        each = [f'{start}.mixer.{_of_order(part, suffix)}' for suffix in _SUFFIXES]
        missing += [other for other in each if other not in tensors]
        if not missing:
            stacked[name] = torch.cat([tensors[other] for other in each])
            for other in each[1:]:
                del stacked[other]
    if missing:
        raise OptionError(
            f'{len(missing)} parameters of further scan orders are missing, so this is no classifier of '
            f'RoMA: {", ".join(missing[:20])}'
        )
    return stacked


def _of_order(part: str, suffix: str) -> str:
    """The released name of a parameter of an order: ``A_b_log``, ``D_b``, ``conv1d_b.weight``."""
    if part == 'A_log':
        return f'A{suffix}_log'
    module, dot, kind = part.partition('.')
    return f'{module}{suffix}{dot}{kind}'
