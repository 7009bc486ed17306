"""The config text in a checkpoint, read as data: a stranger's config could name any function to call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from .errors import CheckpointError

_LONGEST = 2**20  # characters
# What an inferencer looks at; the rest of a config is of trainings.
READ = ('default_scope', 'data_preprocessor', 'model', 'test_dataloader', 'test_pipeline', 'visualizer')
_SCOPES = ('mmengine', 'mmcv', 'mmpretrain', 'mmseg', __package__)
_IMPORTS = tuple(f'{__package__}.{part}' for part in ('models', 'datasets', 'engine', 'evaluation'))
# Classes of OpenMMLab that the configs of this package name where an inferencer looks. None of them calls
# what one of its arguments names, unlike some of the registered.
# fmt: off
_TYPES = frozenset((
    'AutoAugment', 'CenterCrop', 'LoadAnnotations', 'LoadImageFromFile', 'PackInputs', 'PackSegInputs',
    'RandomChoice', 'RandomCrop', 'RandomFlip', 'RandomResizedCrop', 'RandomRotate', 'Resize',
    'ResizeEdge', 'TestTimeAug', 'ConcatDataset', 'CustomDataset', 'ISPRSDataset', 'LoveDADataset',
    'MultiImageMixDataset', 'PotsdamDataset', 'RepeatDataset', 'DefaultSampler', 'InfiniteSampler',
    'default_collate', 'pseudo_collate', 'ClsDataPreprocessor', 'SegDataPreProcessor',
    'ImageClassifier', 'EncoderDecoder', 'ResNet', 'GlobalAveragePooling', 'ClsBatchNormNeck',
    'Feature2Pyramid', 'LinearClsHead', 'FCNHead', 'UPerHead',
    'CutMix', 'Mixup', 'CrossEntropyLoss', 'LabelSmoothLoss', 'DiceLoss', 'BN', 'BN2d', 'SyncBN', 'LN',
    'GN', 'GELU', 'ReLU', 'SiLU', 'Dropout', 'DropPath', 'Constant', 'Kaiming', 'Normal', 'Pretrained',
    'TruncNormal', 'VisionTransformer', 'VisionTransformerClsHead', 'SwinTransformer', 'Xavier',
    'LocalVisBackend', 'SegLocalVisualizer', 'UniversalVisualizer', 'Visualizer', 'featmap',
))
# fmt: on


def parse_config(text: str, name: str) -> dict[str, Any]:
    """The parts of a config that inferencers read, of which nothing is run.

    Args:
        text (str): The config as MMEngine writes it: names that are set to literals and ``dict(…)``.
        name (str): The checkpoint, for the messages.

    Returns:
        dict[str, Any]: Plain values by name.

    Raises:
        CheckpointError: If it is anything else, or names a type that is neither of this package nor among
            those that its configs use.
    """
    try:
        cfg = _literals(text)
        imports = cfg.get('custom_imports') or {}
        for module in imports.get('imports', []) if isinstance(imports, dict) else [imports]:
            if module not in _IMPORTS:
                raise ValueError(f'it imports {module!r}')
            import_module(module)
        cfg = check_config(cfg)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise CheckpointError(
            f'{name}: the config text in it is not run, and cannot be taken as data ({error}). Pass the '
            'config file too; or, if you trust who made the checkpoint, let it run code by --allow-pickle '
            'or RSMAMBA_ALLOW_PICKLE=1'
        ) from error
    return cfg


def check_config(cfg: dict[str, Any]) -> dict[str, Any]:
    """The parts of a config of plain values that inferencers read.

    Raises:
        ValueError: If it names a type that is not known to be harmless, or has no model.
    """
    cfg = {key: value for key, value in cfg.items() if key in READ}
    for kind in _named(cfg):
        _check(kind)
    if not isinstance(cfg.get('model'), dict):
        raise ValueError('it has no model')
    return cfg


def _literals(text: str) -> dict[str, Any]:
    if len(text) > _LONGEST:
        raise ValueError(f'it is {len(text):,} characters long')
    values = {}
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) if name != '_base_':
                values[name] = _value(node.value)
            case _:
                raise ValueError(f'line {node.lineno}: {ast.unparse(node)[:60]}')
    return values


def _value(node: ast.expr) -> Any:
    """As ``ast.literal_eval``, and calls of ``dict``."""
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=args, keywords=keywords) if len(args) < 2:
            merged = [*args, *(keyword.value for keyword in keywords if keyword.arg is None)]
            values = [_value(item) for item in merged]
            if all(isinstance(item, dict) for item in values):
                named = {keyword.arg: _value(keyword.value) for keyword in keywords if keyword.arg}
                return {key: value for item in (*values, named) for key, value in item.items()}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise ValueError(f'line {node.lineno}: {ast.unparse(node)[:60]} is no plain value')


def _named(value: Any) -> Iterator[Any]:
    """What MMEngine would look up: the types, and the scopes."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == 'type':
                yield item
            elif key in ('_scope_', 'default_scope'):
                yield f'{item}.'
            else:
                yield from _named(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item)


def _check(kind: Any) -> None:
    from . import _LAZY

    scope, dot, bare = str(kind).rpartition('.')
    known = (not bare and scope != '') or bare in _TYPES or bare in _LAZY
    if not isinstance(kind, str) or (dot and scope not in _SCOPES) or not known:
        raise ValueError(f'it names {str(kind).rstrip(".")!r}')
