"""The released networks by name, and what becomes of their files here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import OptionError
from ..class_order import HEADS
from .files import Converted, verify_tensors

# each a module beside this one, named as the folder of its configs
SYSTEMS = (
    'afmnet',
    'banet',
    'cmunet',
    'dcswin',
    'manet',
    'pyramidmamba',
    'rest',
    'roma',
    'rs3mamba',
    'rsmamba',
    'unetformer',
    'unetmamba',
    'vim',
    'vmamba',
)


def system(name: str) -> ModuleType:
    """The module of a released network: ``convert``, and where there is a way back ``release``.

    Raises:
        OptionError: If there is none of that name.
    """
    if name not in SYSTEMS:
        raise OptionError(f'unknown released network {name!r}. Choose from: {", ".join(SYSTEMS)}')
    return import_module(f'.{name}', __package__)


def convert_released(
    name: str, tensors: Mapping[str, Tensor], config: str | None = None, with_auxiliary: bool = True
) -> Converted:
    """Bring a released checkpoint into the names of this package, every tensor accounted for.

    Args:
        name (str): One of ``SYSTEMS``.
        tensors (Mapping[str, Tensor]): The file's, as :func:`read_tensors` gives them: with the prefix
            ``net.`` of a training program, whose own tensors are left out, or without. Buffers of integers,
            which are the same in every model, may be absent.
        config (str, optional): Config of the model. Defaults to None: the one recognised by the shapes.
        with_auxiliary (bool): Whether to keep auxiliary heads, which inference does not need. Defaults to
            True.

    Returns:
        Converted: Its ``state_dict`` loads strictly into ``model_of`` it.

    Raises:
        OptionError: If the tensors are not, name by name and shape by shape, those of the model.
    """
    network, foreign = _network(tensors)
    found = system(name).convert(network)
    state_dict, left_out = dict(found.state_dict), [*foreign, *found.left_out]
    if not with_auxiliary:
        auxiliary = [key for key in state_dict if key.startswith('auxiliary_head.')]
        left_out += auxiliary
        for key in auxiliary:
            del state_dict[key]
    if config is not None and isinstance(found.config, dict):
        raise OptionError(f'{name} is an encoder, known by its shapes: leave the config out')
    config = config or found.config
    if config is None:
        raise OptionError(
            f'no config of this package has this variant of {name}: give the one of its model'
        )
    converted = Converted(state_dict, config, found.num_classes, tuple(left_out))
    model = model_of(converted)
    for key, buffer in model.state_dict().items():
        if not buffer.is_floating_point() and not buffer.is_meta:
            state_dict.setdefault(key, buffer)
    verify_tensors(state_dict, model)
    return converted


def model_of(converted: Converted) -> nn.Module:
    """The model of a converted checkpoint, with its classes and auxiliary heads; weights on ``meta``."""
    if isinstance(converted.config, dict):
        return _outline(converted.config, 'mmseg')
    model = load_config(converted.config).model
    if not any(name.startswith('auxiliary_head.') for name in converted.state_dict):
        model.pop('auxiliary_head', None)
    for name in HEADS if converted.num_classes is not None else ():
        heads = model.get(name) or []
        for head in heads if isinstance(heads, list) else [heads]:
            head.num_classes = converted.num_classes
    return _outline(model, 'mmseg' if 'decode_head' in model else 'mmpretrain')


def load_config(config: str) -> Config:
    """A config by its path, or by ``'rsmamba_mm::PATH'``.

    Raises:
        OptionError: If it is not there.
    """
    path = Config._get_cfg_path(config, '')[0] if '::' in config else config
    try:
        return Config.fromfile(path)
    except FileNotFoundError:
        raise OptionError(f'config not found: {config}') from None


def _network(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The network's tensors without the prefix, and the names of what a training program has beside it."""
    bare = {name.removeprefix('module.'): tensor for name, tensor in tensors.items()}
    inside = {name[4:]: tensor for name, tensor in bare.items() if name.startswith('net.')}
    return (inside, [name for name in bare if not name.startswith('net.')]) if inside else (bare, [])


def _outline(cfg: ConfigDict | dict, scope: str) -> nn.Module:
    with DefaultScope.overwrite_default_scope(scope), _Weightless():
        return MODELS.build(cfg)


class _Weightless(TorchFunctionMode):
    """What is made empty, to be filled with weights, takes no memory; all else is as constructed."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs['device'] = 'meta'
        return func(*args, **kwargs)
