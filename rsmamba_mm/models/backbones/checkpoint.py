"""What the backbones ask of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ...errors import CheckpointError

_SHOWN = 8


def refuse_other_architecture(
    module: nn.Module, state_dict: dict, prefix: str, required: Sequence[str]
) -> None:
    """Refuse a checkpoint made for another architecture before any of it is loaded.

    MMEngine's lenient loading would skip what does not fit and go on with random weights.

    Args:
        module (nn.Module): The module about to be loaded.
        state_dict (dict): The checkpoint.
        prefix (str): The module's name in it, with a dot, or ''.
        required (Sequence[str]): Beginnings of the names that must agree exactly; others may be
            missing, but not differ in shape.

    Raises:
        CheckpointError: If keys or shapes differ; the message lists them. A checkpoint that holds
            nothing under the prefix is left to the loader.
    """
    # old files have no counters, and nothing depends on them
    own = {n: x.shape for n, x in module.state_dict().items() if not n.endswith('num_batches_tracked')}
    theirs = {
        name[len(prefix) :]: tensor.shape
        for name, tensor in state_dict.items()
        if name.startswith(prefix) and hasattr(tensor, 'shape') and not name.endswith('num_batches_tracked')
    }
    if not theirs:
        return
    required = tuple(required)
    differing = [
        f'{name}: {tuple(theirs[name])} in the checkpoint, {tuple(shape)} in the model'
        for name, shape in own.items()
        if name in theirs and theirs[name] != shape
    ]
    missing = [
        f'{name}: not in the checkpoint' for name in own if name.startswith(required) and name not in theirs
    ]
    surplus = [
        f'{name}: only in the checkpoint'
        for name in theirs
        if name.startswith(required) and name not in own
    ]
    found = differing + missing + surplus
    if not found:
        return
    more = f'\n  … and {len(found) - _SHOWN} more' if len(found) > _SHOWN else ''
    lines = '\n  '.join(found[:_SHOWN])
    raise CheckpointError(
        f'the checkpoint is not of this {type(module).__name__}: {len(differing)} shapes differ, '
        f'{len(missing)} keys are missing, {len(surplus)} are surplus:\n  {lines}{more}\n'
        'Build the model with the options that the checkpoint was trained with (arch, path_type, '
        'patch_size, in_channels, layer_cfgs …), load another checkpoint, '
        'or begin with random weights (init_cfg=None).'
    )
