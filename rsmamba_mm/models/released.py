"""Checkpoints of the released RSMamba, ResT and UNetMamba: read safely, verified, renamed both ways."""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from ..errors import OptionError, UserError
from ..safe_loading import SAFETENSORS, check_container, load, refuse_unsafe_torch
from .class_order import checkpoint_classes

# where the parts of the released network stand in mmseg's EncoderDecoder; the longest names first
_PLACES = {
    'encoder.': 'backbone.',
    'decoder.lsm.': 'auxiliary_head.lsm.',
    'decoder.seg.': 'decode_head.conv_seg.',
    'decoder.': 'neck.',
}


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint; as :func:`read_checkpoint`."""
    return read_checkpoint(path)[0]


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """The tensors of a checkpoint and its classes, whatever else was pickled beside them.

    Files of MMEngine and Lightning hold objects of classes that need not be installed here. Nothing of the
    file is run: tensors are rebuilt by PyTorch's own functions, and every object becomes an empty stand-in.

    Args:
        path (str | Path): The file.

    Returns:
        tuple[dict[str, Tensor], tuple[str, ...] | None]: What stands under ``state_dict`` or ``model``, or
        the file itself; and the names under ``meta.dataset_meta.classes``, None without.

    Raises:
        OptionError: If the file is no checkpoint or holds no tensors.
    """
    try:
        refuse_unsafe_torch(str(path))
        content = _content(path)
    except FileNotFoundError:
        raise OptionError(f'checkpoint not found: {path}') from None
    except UserError as error:
        raise OptionError(str(error)) from error
    except Exception as error:  # a broken file can raise anything
        first = (str(error).splitlines() or [''])[0]
        raise OptionError(
            f'{path} is no PyTorch checkpoint ({type(error).__name__}: {first}): fetch or write it again'
        ) from error
    classes = checkpoint_classes(content) if isinstance(content, Mapping) else None
    for key in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise OptionError(
            f'{path} holds no tensors, neither at the top nor under state_dict: it is another kind of file'
        )
    return tensors, classes


def _content(path: str | Path) -> object:
    if str(path).endswith(SAFETENSORS):
        return load(path)
    check_container(str(path), str(path))
    return torch.load(path, map_location='cpu', pickle_module=_TENSORS_ONLY, weights_only=False)


def count_parameters(state_dict: Mapping[str, Tensor]) -> int:
    """Numbers to learn in a checkpoint: all but those of running statistics and counters."""
    return sum(t.numel() for name, t in state_dict.items() if 'running_' not in name and t.dim())


def verify_tensors(state_dict: Mapping[str, Tensor], model: nn.Module) -> None:
    """Refuse a checkpoint that is not, tensor by tensor, one of this model.

    Args:
        state_dict (Mapping[str, Tensor]): Tensors of the checkpoint.
        model (nn.Module): The model that it is for.

    Raises:
        OptionError: If a tensor is missing, surplus, of another shape, or not finite; all are listed.
    """
    own = model.state_dict()
    found = [f'{name} is missing' for name in own if name not in state_dict]
    for name, tensor in state_dict.items():
        if name not in own:
            found.append(f'{name} is not in the model')
        elif tensor.shape != own[name].shape:
            found.append(f'{name} is {tuple(tensor.shape)}, in the model {tuple(own[name].shape)}')
        elif not tensor.isfinite().all():
            found.append(f'{name} has values that are not finite')
    if found:
        lines = '\n  '.join(found[:20] + ([f'… and {len(found) - 20} more'] if len(found) > 20 else []))
        raise OptionError(
            f'{len(found)} of {len({*own, *state_dict})} tensors do not fit the model of the config:\n  '
            + lines
        )


def unetmamba_to_mmseg(state_dict: Mapping[str, Tensor], with_lsm: bool = True) -> dict[str, Tensor]:
    """Rename the parameters of a released UNetMamba for this package's configs.

    Args:
        state_dict (Mapping[str, Tensor]): Released names, with the prefix ``net.`` or without.
        with_lsm (bool): Whether to keep the local supervision module, which inference does not need.
            Defaults to True.

    Returns:
        dict[str, Tensor]: Names of mmseg's EncoderDecoder.

    Raises:
        OptionError: If these are not the names of a released UNetMamba.
    """
    renamed, strange = {}, []
    for name, tensor in state_dict.items():
        bare = name.removeprefix('net.')
        place = next((place for place in _PLACES if bare.startswith(place)), None)
        if place is None:
            strange.append(name)
        elif with_lsm or place != 'decoder.lsm.':
            renamed[_PLACES[place] + bare.removeprefix(place)] = tensor
    present = {name.split('.')[0] for name in renamed}
    if not {'backbone', 'neck', 'decode_head'} <= present:
        raise OptionError(
            'these are not the names of a released UNetMamba, which has (net.)encoder.…, (net.)decoder.… '
            f'and (net.)decoder.seg.…; found: {", ".join(list(state_dict)[:5])}, …'
        )
    # metrics and losses of the training program may have buffers of their own; the network's must all fit
    if any(name.startswith('net.') for name in strange):
        raise OptionError(f'unknown parameters of the network: {", ".join(strange[:5])}')
    return renamed


def mmseg_to_unetmamba(state_dict: Mapping[str, Tensor], with_lsm: bool = True) -> dict[str, Tensor]:
    """Rename the parameters of this package's UNetMamba as the authors' training program has them.

    Args:
        state_dict (Mapping[str, Tensor]): Names of mmseg's EncoderDecoder.
        with_lsm (bool): Whether to keep the local supervision module. Defaults to True.

    Returns:
        dict[str, Tensor]: Released names, with the prefix ``net.``.

    Raises:
        OptionError: If a name has no place in the released network; all are listed.
    """
    renamed, strange = {}, []
    for name, tensor in state_dict.items():
        bare = name.removeprefix('module.')
        place = next((old for old, new in _PLACES.items() if bare.startswith(new)), None)
        if place is None:
            strange.append(name)
        elif with_lsm or place != 'decoder.lsm.':
            renamed[f'net.{place}{bare.removeprefix(_PLACES[place])}'] = tensor
    if strange or not renamed:
        raise OptionError(
            f'{len(strange)} of {len(state_dict)} tensors have no place in a released UNetMamba: '
            f'{", ".join(strange[:20])}'
        )
    return renamed


def find_rest(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The encoder in a checkpoint of ResT, alone or in a classifier, a segmenter or a released UNetMamba.

    Args:
        state_dict (Mapping[str, Tensor]): Names with any of the prefixes ``module.``, ``backbone.``,
            ``net.encoder.`` and ``encoder.``, or none.

    Returns:
        tuple[dict[str, Tensor], list[str]]: Its tensors by the released names, which are those of
        ``ResT`` too; and the names of the others.

    Raises:
        OptionError: If there is none.
    """
    found, others = {}, []
    for name, tensor in state_dict.items():
        bare = name
        for prefix in ('module.', 'backbone.', 'net.', 'encoder.'):
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


class _StandIn:
    """In place of an object of a class that is not needed."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs) -> None: ...
    def __setstate__(self, state) -> None: ...
    def __call__(self, *args, **kwargs):
        return self

    # what a pickle does to lists and dicts of a class of their own
    def append(self, value) -> None: ...
    def extend(self, values) -> None: ...
    def __setitem__(self, key, value) -> None: ...


class _Rebuild:
    """A function of PyTorch that a file can call but not change."""

    __slots__ = ('function',)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args):
        return self.function(*args)

    def __setstate__(self, state) -> None:
        raise pickle.UnpicklingError('it changes a function of PyTorch')


class _TensorsOnlyUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        # PyTorch puts stand-ins of its own in the place of storages
        if module == 'torch._utils' and name in _REBUILD:
            return _Rebuild(getattr(torch._utils, name))
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        return _StandIn


_REBUILD = ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter')
_TENSORS_ONLY = ModuleType('tensors_only')
_TENSORS_ONLY.Unpickler = _TensorsOnlyUnpickler
_TENSORS_ONLY.load = lambda file, **kwargs: _TensorsOnlyUnpickler(file, **kwargs).load()
