"""The classes that a checkpoint knows, and the rows of its head in the order of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from ..errors import OptionError

HEADS = ('head', 'decode_head', 'auxiliary_head')


def checkpoint_classes(checkpoint: Mapping) -> tuple[str, ...] | None:
    """The class names in a checkpoint of MMEngine, or of OpenMMLab's older packages; None without."""
    meta = checkpoint.get('meta')
    if not isinstance(meta, Mapping):
        return None
    dataset_meta = meta.get('dataset_meta')
    classes = dataset_meta.get('classes') if isinstance(dataset_meta, Mapping) else meta.get('CLASSES')
    return tuple(classes) if classes else None


def difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """What two lists of classes do not share, in words."""
    parts = []
    for owner, names, others in (('checkpoint', theirs, ours), ('data set', ours, theirs)):
        only = [name for name in names if name not in others]
        parts.append(f'only in the {owner} ({len(names)} classes): {", ".join(only) or "none"}')
    return '; '.join(parts)


def refuse_other_classes(path: str, theirs: Sequence[str] | None, ours: Sequence[str] | None) -> None:
    """Refuse to test a checkpoint on classes that it does not know.

    Raises:
        OptionError: If both lists are known and have other names; the message says which.
    """
    if theirs and ours and set(theirs) != set(ours):
        raise OptionError(
            f'{path} was trained for other classes than those of the data set: {difference(theirs, ours)}. '
            'Test it with its own data set or config'
        )


def reorder_rows(
    state_dict: dict, model: nn.Module, theirs: Sequence[str], ours: Sequence[str]
) -> list[str]:
    """Bring the rows of a classifier's head, one for each class, into the order of ours.

    Args:
        state_dict (dict): Tensors of the checkpoint, changed in place.
        model (nn.Module): A classifier of mmpretrain; its ``head`` ends in a linear layer.
        theirs (Sequence[str]): Classes in the order of the checkpoint's rows.
        ours (Sequence[str]): The same classes in the order wanted.

    Returns:
        list[str]: Names of the tensors that were reordered.

    Raises:
        OptionError: If the model is of another kind, or its head does not end so.
    """
    linear = [
        (name, module)
        for name, module in getattr(model, 'head', nn.Module()).named_modules(prefix='head')
        if isinstance(module, nn.Linear)
    ]
    if not linear or linear[-1][1].out_features != len(ours):
        raise OptionError(
            'the checkpoint has the classes in another order than the data set, and this model has no '
            f'linear head whose rows could follow: {", ".join(theirs)} there, {", ".join(ours)} here. '
            "Give the data set the checkpoint's order by metainfo=dict(classes=…)"
        )
    rows = [theirs.index(name) for name in ours]
    wanted = {f'{linear[-1][0]}.{part}' for part in ('weight', 'bias')}
    found = [name for name in state_dict if name.removeprefix('module.') in wanted]
    for name in found:
        state_dict[name] = state_dict[name][rows]
    return found


def drop_heads(state_dict: dict) -> list[str]:
    """Take out the heads, whose rows are other classes; their names are returned."""
    dropped = [name for name in state_dict if name.removeprefix('module.').split('.')[0] in HEADS]
    for name in dropped:
        del state_dict[name]
    return dropped
