"""Released checkpoints: read safely, verified tensor by tensor, renamed by their prefixes."""

from __future__ import annotations

import collections
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import OptionError, UserError
from ...safe_loading import SAFETENSORS, check_container, load, refuse_unsafe_torch
from ..class_order import checkpoint_classes


class Converted(NamedTuple):
    """A released checkpoint by the names of this package.

    Attributes:
        state_dict (dict[str, Tensor]): Tensors of the model that ``config`` describes.
        config (str | dict | None): A config of this package, such as
            ``'rsmamba_mm::_base_/models/dcswin_swin-t.py'``, the variant recognised by the shapes; of an
            encoder alone the dict that builds it; None if no config has this variant.
        num_classes (int | None): Classes of the heads; None without heads.
        left_out (Sequence[str]): Released names that the model has no use for. Defaults to none.
    """

    state_dict: dict[str, Tensor]
    config: str | dict | None
    num_classes: int | None
    left_out: Sequence[str] = ()


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
    """Numbers to learn in a checkpoint: all but those of running statistics, counters and indices."""
    learnt = (t for name, t in state_dict.items() if 'running_' not in name and t.is_floating_point())
    return sum(t.numel() for t in learnt)


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


def rename(state_dict: Mapping[str, Tensor], places: Mapping[str, str], system: str) -> dict[str, Tensor]:
    """Give each tensor the name of the place where its module stands.

    Args:
        state_dict (Mapping[str, Tensor]): Released names.
        places (Mapping[str, str]): Beginnings of released names and what takes their place; the longest
            that fits counts.
        system (str): Name of the network, for the messages.

    Returns:
        dict[str, Tensor]: The same tensors by the new names, in the same order; of two that get one name
        the later.

    Raises:
        OptionError: If a name has no place; all are listed.
    """
    longest, renamed, strange = sorted(places, key=len, reverse=True), {}, []
    for name, tensor in state_dict.items():
        start = next((start for start in longest if name.startswith(start)), None)
        if start is None:
            strange.append(name)
        else:
            renamed[places[start] + name.removeprefix(start)] = tensor
    if not renamed:
        known = ', '.join(f'{start}…' for start in places)
        raise OptionError(
            f'these are not the names of a released {system}, which has {known}; found: '
            f'{", ".join(list(state_dict)[:5])}, …'
        )
    if strange:
        raise OptionError(
            f'{len(strange)} of {len(state_dict)} tensors have no place in a released {system}: '
            f'{", ".join(strange[:20])}'
        )
    return renamed


def needed(state_dict: Mapping[str, Tensor], name: str, system: str) -> Tensor:
    """The tensor whose shape tells the variant, or the number of classes.

    Raises:
        OptionError: If it is not there.
    """
    if name not in state_dict:
        raise OptionError(
            f'{name} is missing, by which a released {system} is recognised; found: '
            f'{", ".join(list(state_dict)[:5])}, …'
        )
    return state_dict[name]


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
