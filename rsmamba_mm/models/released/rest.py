"""ResT, alone or as the encoder of another network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...errors import OptionError
from ..backbones.rest import ResT
from .files import Converted, needed


def find_rest(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The encoder in a checkpoint of ResT, alone or in a classifier or segmenter, released or ours.

    Args:
        state_dict (Mapping[str, Tensor]): Names with any of the prefixes ``module.``, ``backbone.``,
            ``backbone.context.``, ``encoder.`` and ``cp.ResT.``, the last two behind ``net.`` too, or none.

    Returns:
        tuple[dict[str, Tensor], list[str]]: Its tensors by the released names, which are those of
        ``ResT`` too; and the names of the others.

    Raises:
        OptionError: If there is none.
    """
    found, others = {}, []
    for name, tensor in state_dict.items():
        bare = name
        for prefix in ('module.', 'backbone.', 'context.', 'net.', 'encoder.', 'cp.ResT.'):
            bare = bare.removeprefix(prefix)
        if bare.startswith(('stem.', 'patch_embed_', 'stage', 'norm.')):
            found[bare] = tensor
        else:
            others.append(name)
    if not any(name.startswith('stem.') for name in found):
        raise OptionError(
            'these are not the names of a ResT, which has stem.…, stage1.… and patch_embed_2.…; found: '
            f'{", ".join(list(state_dict)[:5])}, …'
        )
    return found, others


def convert(tensors: dict[str, Tensor]) -> Converted:
    """The ResT of a file, for ``init_cfg`` of a backbone; what else the file has is left out."""
    state_dict, others = find_rest(tensors)
    width = len(needed(state_dict, 'stem.conv3.weight', 'ResT'))
    blocks = {tuple(name.split('.')[:2]) for name in state_dict}
    depths = tuple(sum(stage == f'stage{i}' for stage, _ in blocks) for i in range(1, 5))
    for arch, settings in ResT.arch_zoo.items():
        if (settings['embed_dims'][0], settings['depths']) == (width, depths):
            return Converted(state_dict, dict(type='ResT', arch=arch), None, others)
    raise OptionError(
        f'no ResT has the width {width} and the depths {depths}; there are {", ".join(ResT.arch_zoo)}'
    )


def release(state_dict: dict[str, Tensor]) -> dict:
    """The way back: the file that the authors' code reads, whose names are the same."""
    return find_rest(state_dict)[0]
