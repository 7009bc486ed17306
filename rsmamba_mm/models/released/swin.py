"""Swin Transformer's released names, those of timm too, and those of mmseg and mmpretrain."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_NAMES = {
    'layers.': 'stages.',  # first: others bring new ones
    'patch_embed.proj.': 'patch_embed.projection.',
    '.attn.': '.attn.w_msa.',
    '.mlp.fc1.': '.ffn.layers.0.0.',
    '.mlp.fc2.': '.ffn.layers.1.',
}


def swin_to_mmseg(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's parameters by the names, and in the order of channels, that OpenMMLab's Swin has.

    Patches are merged from four neighbours: the released code joins their channels neighbour by neighbour,
    down the columns, OpenMMLab's channel by channel, along the rows.

    Args:
        state_dict (Mapping[str, Tensor]): Released names, such as ``layers.0.blocks.0.attn.qkv.weight``,
            with any prefix, which they keep.

    Returns:
        dict[str, Tensor]: Those of mmseg's and mmpretrain's ``SwinTransformer``.
    """
    renamed = {}
    for name, x in state_dict.items():
        if '.downsample.' in name:
            x = x.reshape(*x.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :].transpose(-2, -1).flatten(-2)
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        renamed[name] = x
    return renamed
