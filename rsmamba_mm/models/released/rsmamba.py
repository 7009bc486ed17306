"""RSMamba, whose released names are those of this package."""

from __future__ import annotations

from torch import Tensor

from ..backbones.rsmamba import RSMamba
from .files import Converted, needed

DATA = {21: 'ucmerced', 30: 'aid', 45: 'resisc45'}  # by the number of their classes


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released RSMamba of any number of classes; the rows of its head stay as they are."""
    classes = len(needed(tensors, 'head.fc.weight', 'RSMamba'))
    width = needed(tensors, 'backbone.ln1.weight', 'RSMamba').numel()
    blocks = len({name.split('.')[2] for name in tensors if name.startswith('backbone.layers.')})
    for arch in ('base', 'large', 'huge'):
        settings = RSMamba.arch_zoo[arch]
        if (settings['embed_dims'], settings['num_layers']) == (width, blocks):
            data = DATA.get(classes, 'aid')
            return Converted(tensors, f'rsmamba_mm::rsmamba/rsmamba-{arch[0]}_{data}.py', classes)
    return Converted(tensors, None, classes)


def release(state_dict: dict[str, Tensor]) -> dict:
    """The way back: the file that the authors' code reads, whose names are the same."""
    return dict(state_dict=state_dict, meta={})
