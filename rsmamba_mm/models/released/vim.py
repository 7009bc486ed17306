"""Vim, as the code of its authors saves it: the parameters of the reverse order beside the forward ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import OptionError
from ..backbones.vim import Vim
from .files import Converted, needed, rename

_PLACES = {
    'cls_token': 'backbone.cls_token',
    'pos_embed': 'backbone.pos_embed',
    'patch_embed.proj.': 'backbone.patch_embed.projection.',
    'norm_f.': 'backbone.ln1.',
    'head.': 'head.fc.',
}
# of the mixer's parameters those that each order has on its own: the released name of the reverse one
_REVERSE = {
    'A_log': 'A_b_log',
    'D': 'D_b',
    **{
        f'{module}.{kind}': f'{module}_b.{kind}'
        for module in ('conv1d', 'x_proj', 'dt_proj')
        for kind in ('weight', 'bias')
    },
}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released Vim of any number of classes, with the class token in the middle."""
    classes = len(needed(tensors, 'head.weight', 'Vim'))
    width = needed(tensors, 'norm_f.weight', 'Vim').numel()
    blocks = len({name.split('.')[1] for name in tensors if name.startswith('layers.')})
    state_dict = rename(_stacked(tensors), _PLACES | _blocks(blocks), 'Vim')
    arch = _arch(width, blocks)
    if arch == 'base':
        _scale_mixers(state_dict, 2.0)
    config = None if arch is None else f'rsmamba_mm::_base_/models/vim-{arch[0]}.py'
    return Converted(state_dict, config, classes)


def release(state_dict: dict[str, Tensor]) -> dict:
    """The way back: the file that the authors' code reads."""
    blocks = len({name.split('.')[2] for name in state_dict if name.startswith('backbone.layers.')})
    places = {ours: theirs for theirs, ours in (_PLACES | _blocks(blocks)).items()}
    width = needed(state_dict, 'backbone.ln1.weight', 'Vim of this package').numel()
    state_dict = dict(state_dict)
    if _arch(width, blocks) == 'base':
        _scale_mixers(state_dict, 0.5)
    renamed = {}
    for name, tensor in rename(state_dict, places, 'Vim of this package').items():
        start, _, part = name.partition('.mixer.')
        if part in _REVERSE:
            renamed[name], renamed[f'{start}.mixer.{_REVERSE[part]}'] = tensor.chunk(2)
        else:
            renamed[name] = tensor
    return dict(model=renamed)


def _arch(width: int, blocks: int) -> str | None:
    sizes = {arch: Vim.arch_zoo[arch] for arch in ('tiny', 'small', 'base')}
    known = {(size['embed_dims'], size['num_layers']): arch for arch, size in sizes.items()}
    return known.get((width, blocks))


def _scale_mixers(state_dict: dict[str, Tensor], factor: float) -> None:
    """The released base size adds the two orders, where the others and this package take the mean."""
    for name in state_dict:
        if name.endswith('.out_proj.weight'):
            state_dict[name] = state_dict[name] * factor


def _blocks(number: int) -> dict[str, str]:
    places = {f'layers.{i}.mixer.': f'backbone.layers.{i}.' for i in range(number)}
    return places | {f'layers.{i}.norm.': f'backbone.pre_norm.{i}.' for i in range(number)}


def _stacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Both orders' parameters in one, by the names of the forward order."""
    stacked, reverse = dict(tensors), {}
    for name in tensors:
        start, _, part = name.partition('.mixer.')
        if part in _REVERSE:
            reverse[name] = f'{start}.mixer.{_REVERSE[part]}'
    missing = [name for pair in reverse.items() for name in pair if name not in tensors]
    if missing:
        raise OptionError(
            f'{len(missing)} parameters of the reverse order are missing, so this is no bidirectional Vim: '
            f'{", ".join(missing[:20])}'
        )
    for forward, other in reverse.items():
        stacked[forward] = torch.cat([tensors[forward], stacked.pop(other)])
    return stacked
