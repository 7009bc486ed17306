"""Checkpoints of causal pre-training in the backbones that are fine-tuned from them."""

from __future__ import annotations

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ...errors import CheckpointError
from ...layers import sincos_position_embedding

#: buffer of a backbone in pre-training, which tells its checkpoints from all others
MARK = 'of_pretraining'


def mark(backbone: nn.Module) -> None:
    """Tell the checkpoints of a backbone in pre-training from all others."""
    backbone.register_buffer(MARK, torch.tensor(True))


def adopt_pretrained(backbone: nn.Module, state_dict: dict[str, Tensor], prefix: str) -> None:
    """Make a checkpoint of pre-training, which is of one scan order, one of this backbone's orders.

    What each order has on its own starts as the one order's, so that all of them start alike; gates, class
    tokens and the norms of outputs are not in it and stay as they are initialised. Learned positions start
    as the resized ones of the checkpoint, or as the sine-cosine table, and with zeros at class tokens.

    Args:
        backbone (nn.Module): An ``RSMamba`` or what derives from it.
        state_dict (dict[str, Tensor]): The checkpoint; changed in place.
        prefix (str): The backbone's name in it, with a dot, or ''.

    Raises:
        CheckpointError: If the backbone is in pre-training, and the checkpoint is of another mode.
    """
    pretrained = state_dict.pop(f'{prefix}{MARK}', None) is not None
    if hasattr(backbone, MARK):
        if pretrained:
            state_dict[f'{prefix}{MARK}'] = torch.tensor(True)
        elif any(name.startswith(f'{prefix}layers.') for name in state_dict):
            raise CheckpointError(
                'the checkpoint is of a backbone that was not pre-trained (a classifier, a segmenter, or '
                "mode='downstream'), and this model pre-trains, along one scan order: start it without a "
                'checkpoint, or with one of pre-training'
            )
        return
    if not pretrained:
        return
    own, copied = backbone.state_dict(), 0
    for name, tensor in own.items():
        theirs = state_dict.get(f'{prefix}{name}')
        if theirs is None:
            if name.startswith(('gate_layers.', 'cls_token', 'ln1.', 'ln2.')):
                state_dict[f'{prefix}{name}'] = tensor.clone()
        elif name.startswith('layers.') and theirs.shape != tensor.shape:
            sets = len(backbone.orders)
            if tensor.shape[:1] == (sets * theirs.shape[0],):
                state_dict[f'{prefix}{name}'] = theirs.repeat(sets, *[1] * (theirs.dim() - 1))
                copied += 1
    _adopt_positions(backbone, state_dict, f'{prefix}pos_embed')
    print_log(
        f'{type(backbone).__name__}: pre-trained weights of one scan order, for {len(backbone.orders)}: '
        + (f'{copied} tensors are copied for each' if copied else 'all share them'),
        logger='current',
    )


def _adopt_positions(backbone: nn.Module, state_dict: dict[str, Tensor], key: str) -> None:
    """Learned positions with zeros at class tokens, where the backbone has learned ones."""
    if backbone.pos_embed is None:
        state_dict.pop(key, None)
        return
    positions = backbone.positions
    patches = state_dict.get(key)
    if patches is None:
        patches = sincos_position_embedding(*positions.grid, positions.channels)
    zeros = patches.new_zeros(1, positions.slots.count, patches.shape[2])
    state_dict[key] = positions.slots.insert(patches, zeros)
