"""Checks before anything is built: what is not there or does not fit is said in words."""

from __future__ import annotations

import ast
import difflib
import glob
import inspect
import os
import re
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, Registry
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from ..engine.mixed_precision import check_bfloat16
from ..errors import CheckpointError, MissingDataError, OptionError, OutputError
from ..models.class_order import checkpoint_classes, refuse_other_classes
from ..safe_loading import load
from ..scopes import find_class
from ..zoo import SCHEME, published_files, zoo_models

_VARIABLE = re.compile(r'\{\{\s*\$(\w+)\s*:\s*(\S*?)\s*\}\}')  # as MMEngine reads it
PICKLES = ('.pkl', '.pickle')
TABLES = ('.json', '.yml', '.yaml', *PICKLES)
# top-level entries beside the runner's arguments that MMEngine or this package reads where they are given
_READ = (
    'compile', 'custom_imports', 'data_root', 'deadline', 'detect_anomalous_params',
    'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg', 'recipe', 'runner_type',
    'strategy', 'sync_bn', 'tta_model', 'tta_pipeline',
)  # fmt: skip
RESIZED = ('pos_embed', 'relative_position', 'rel_pos')  # what models fit to their size when they load


def existing(path: str, what: str) -> str:
    """A path of a file that is there, or an address.

    Raises:
        OptionError: If it is not there.
    """
    if path.startswith(SCHEME):
        published_files(path.removeprefix(SCHEME))
    # a checkpoint may be an address that mmengine knows how to open
    elif '://' not in path and not Path(path).expanduser().is_file():
        names = f'. The package has models named {", ".join(zoo_models())}' if not Path(path).suffix else ''
        raise OptionError(f'{what} not found: {path} (from {Path.cwd()}){names}')
    return path


def check_starts(part: Any, name: str) -> None:
    """Refuse a model of which a part starts from a checkpoint that is not there.

    Args:
        part: Its config, or what is in it.
        name (str): Of that in the config, for the messages.

    Raises:
        OptionError: Naming the entry and the file.
    """
    if isinstance(part, dict):
        if part.get('type') == 'Pretrained':
            if not part.get('checkpoint'):
                raise OptionError(f'{name}: type Pretrained needs the checkpoint: checkpoint=FILE')
            existing(part['checkpoint'], f'checkpoint ({name})')
        for key, value in part.items():
            check_starts(value, f'{name}.{key}')
    elif isinstance(part, list | tuple):
        for index, value in enumerate(part):
            check_starts(value, f'{name}.{index}')


def check_entries(path: str, cfg: Config, options: Iterable[str]) -> None:
    """Refuse options that change no entry that anything reads: MMEngine would add a new one.

    Args:
        path (str): The config, for the messages.
        cfg (Config): What is in it.
        options (Iterable[str]): Such as ``'train_dataloader.batch_size'``.

    Raises:
        OptionError: Naming the option, and the entry that may be meant.
    """
    known = {*cfg, *inspect.signature(Runner.__init__).parameters, *_READ} - {'self', 'cfg'}
    for option in options:
        entry = option.partition('.')[0]
        if entry not in known:
            close = difflib.get_close_matches(entry, known)
            hint = f'did you mean {" or ".join(close)}?' if close else f'it has {", ".join(sorted(cfg))}'
            raise OptionError(f'--cfg-options: {path} has no entry {entry!r}; {hint}')


def check_counts(cfg: Config) -> None:
    """Refuse lengths, batch sizes and numbers of workers that are no whole numbers, or too small.

    Raises:
        OptionError: Naming the entry.
    """
    least = {f'train_cfg.{name}': 1 for name in ('max_epochs', 'max_iters', 'val_interval')}
    for split in ('train', 'val', 'test'):
        least |= {f'{split}_dataloader.batch_size': 1, f'{split}_dataloader.num_workers': 0}
    for entry, low in least.items():
        part, _, name = entry.partition('.')
        value = (cfg.get(part) or {}).get(name)
        if value is not None and (type(value) is not int or value < low):
            raise OptionError(f'{entry} is a whole number of at least {low}, got {value!r}')


def check_amp(dtype: str | None = None) -> str:
    """The type that mixed precision computes in.

    Args:
        dtype (str, optional): ``'float16'`` or ``'bfloat16'``. Defaults to None: float16 on a GPU, bfloat16
            without one.

    Raises:
        OptionError: If the processor does not compute in it.
    """
    gpu = torch.cuda.is_available()
    if dtype == 'float16' and not gpu:
        raise OptionError(
            '--amp: float16 needs a GPU, and PyTorch sees none here: take --amp-dtype bfloat16 where the '
            'processor has it, or leave --amp out'
        )
    dtype = dtype or ('float16' if gpu else 'bfloat16')
    if dtype == 'bfloat16':
        try:
            check_bfloat16()
        except OptionError as error:
            raise OptionError(f'--amp: {error}, and leave --amp out') from error
    return dtype


def is_segmenter(cfg: Config) -> bool:
    """Whether a config's model maps land cover; else it is taken for a classifier."""
    return cfg.get('default_scope') == 'mmseg' or 'decode_head' in cfg.get('model', {})


def check_test_options(args: Namespace, cfg: Config) -> None:
    """Refuse options of ``tools/test.py`` that do not go together, or mean nothing for the model.

    Raises:
        OptionError: Naming the option.
    """
    segmenter = is_segmenter(cfg)
    out, suffix = args.out, Path(args.out or '').suffix.lower()
    for name in ('rgb', 'format_only'):
        option = f'--{name.replace("_", "-")}'
        if not getattr(args, name):
            continue
        if not segmenter:
            raise OptionError(
                f'{option} is for segmenters: {args.config} is a classifier, which draws no maps'
            )
        if out is None or suffix in TABLES or args.out_item == 'metrics':
            raise OptionError(f'{option} needs a folder for the maps: --out FOLDER')
    if args.out_item is not None and out is None:
        raise OptionError(f'--out-item {args.out_item}: where to? Add --out FILE')
    if args.out_item == 'metrics' and suffix not in TABLES:
        raise OptionError(f'--out: metrics are written as {", ".join(TABLES)}, got {out}')
    if out is not None and args.out_item != 'metrics' and suffix not in PICKLES:
        if not segmenter:
            raise OptionError(f'--out: predictions are written as .pkl, got {out}')
        if Path(out).is_file() or suffix in TABLES:
            raise OptionError(f'--out: a folder for the maps, or a .pkl for the predictions, got {out}')
    if args.interval is not None and args.show_dir is None:
        raise OptionError('--interval is of the pictures that --show-dir FOLDER writes')
    if args.interval is not None and args.interval < 1:
        raise OptionError(f'--interval must be at least 1, got {args.interval}')
    for option, folder in (('--show-dir', args.show_dir), ('--work-dir', args.work_dir)):
        if folder is not None and Path(folder).is_file():
            raise OptionError(f'{option}: {folder} is a file, not a folder')


def read_checkpoint(path: str) -> dict:
    """A checkpoint on the CPU; the tensors of a local file are mapped, and read when they are looked at.

    Raises:
        OptionError: If it is not there, or cannot be read.
    """
    try:
        if os.path.isfile(existing(path, 'checkpoint')):
            checkpoint = load(path, map_location='cpu', mmap=True)
        else:
            checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except CheckpointError as error:
        raise OptionError(str(error)) from error
    return checkpoint


def check_checkpoint(
    path: str, checkpoint: dict, model: nn.Module, classes: Sequence[str] | None = None
) -> None:
    """Refuse a checkpoint of another model: MMEngine tests random weights with no more than a warning.

    Args:
        path (str): Where it is from, for the messages.
        checkpoint (dict): Of :func:`read_checkpoint`.
        model (nn.Module): The model that it is for.
        classes (Sequence[str], optional): Those of the data that it is to be tested on. Defaults to None.

    Raises:
        OptionError: If its classes are others, or its tensors are not those of the model in name or shape.
    """
    refuse_other_classes(path, checkpoint_classes(checkpoint), classes)
    tensors = checkpoint.get('state_dict', checkpoint)
    tensors = {name.removeprefix('module.'): tensor for name, tensor in tensors.items()}
    own = {name.removeprefix('module.'): tensor for name, tensor in model.state_dict().items()}
    if 'backbone.of_pretraining' in tensors and 'backbone.of_pretraining' not in own:
        raise OptionError(
            f'{path} is of a pre-training, whose backbone has no classes yet: train a config that starts '
            'from it (model.backbone.init_cfg, see configs/roma/README.md), and test what comes of that'
        )
    shared = own.keys() & tensors.keys()
    if 2 * len(shared) < len(own):
        hint = ''
        if any(name.startswith(('net.', 'encoder.')) for name in tensors):
            hint = ': a released network is converted by tools/model_converters/released_to_mm.py'
        raise OptionError(
            f'{path} is of another model: it has {len(shared)} of the {len(own)} tensors of this one{hint}'
        )
    shapes = {name: tuple(getattr(tensors[name], 'shape', ())) for name in own if name in shared}
    for name, shape in shapes.items():
        if shape != own[name].shape and not any(part in name for part in RESIZED):
            known = checkpoint_classes(checkpoint)
            hint = f' and was trained on {len(known)} classes ({", ".join(known[:3])}, …)' if known else ''
            raise OptionError(
                f"{path} has {name} of shape {shape}{hint}; the config's model has "
                f'{tuple(own[name].shape)}: take the config of its training, or set num_classes, '
                'bands or sizes as there'
            )


def check_folders(dataset: dict, masks: bool = True) -> None:
    """Refuse a missing or empty folder of images or masks before anything is built, in words.

    Args:
        dataset (dict): Config of a data set of mmsegmentation's; others name what they miss themselves.
        masks (bool): Whether masks are needed. Defaults to True.

    Raises:
        MissingDataError: If a folder is not there, or has nothing in it.
    """
    while 'dataset' in dataset:  # wrapped
        dataset = dataset['dataset']
    for kind, prefix in dataset.get('data_prefix', {}).items():
        if kind not in ('img_path', 'seg_map_path')[: 1 + masks] or not isinstance(prefix, str):
            continue
        folder = Path(dataset.get('data_root') or '') / prefix
        if not folder.is_dir() or not any(folder.iterdir()):
            state = 'is empty' if folder.is_dir() else 'is not there'
            raise MissingDataError(
                f'{dataset["type"]}: {folder.resolve()} {state}. Expected there: '
                f'{"images" if kind == "img_path" else "masks"}, in the layout that the converter for this '
                'data set writes; configs/unetmamba/README.md names it. '
                'Where they lie elsewhere: --cfg-options data_root=FOLDER'
            )


def check_lists(dataset: dict) -> None:
    """Refuse faulty lists of samples before anything is built; those of ``SkipFaulty`` pass.

    Raises:
        FaultyDataError: With all lines that are faulty.
        OptionError: If there is no such data set.
    """
    # the folder of data sets needs mmcv, which other parts of this package's interface do not
    from ..datasets.checking import annotation_faults, refuse

    kind = dataset.get('type')
    if kind is None or (isinstance(kind, str) and kind.endswith('SkipFaulty')):
        return
    inner = dataset.get('dataset', dataset.get('datasets'))
    if inner is not None:
        for each in inner if isinstance(inner, list) else [inner]:
            check_lists(each)
        return
    check_class(DATASETS, kind, 'data set')
    refuse(annotation_faults(dataset), f'the list of {kind}')


def check_class(registry: Registry, kind: Any, what: str) -> None:
    """Refuse a type that a registry does not have.

    Raises:
        OptionError: With those that may be meant.
    """
    if isinstance(kind, str) and find_class(registry, kind) is None:
        known = difflib.get_close_matches(kind, registry.module_dict)
        hint = f'; did you mean {" or ".join(known)}?' if known else ': is its module in custom_imports?'
        raise OptionError(f'no {what} is named {kind}{hint}')


def check_work_dir(path: str) -> None:
    """Refuse a work dir that cannot be written, before anything is computed.

    Raises:
        OutputError: Saying why.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(
            f'the work dir {path} cannot be written ({error.strerror}): give another --work-dir'
        ) from error


def variants(cfg: Config) -> list[str]:
    """What tells a config's runs apart beside its name: its recipe, and what the environment chose for it.

    That is a top-level ``recipe`` other than ``'ours'``, and the variables in the paths of its ``_base_``
    that are set, such as ``SCENES``; not what its name has already.
    """
    chosen = [cfg.get('recipe') or 'ours']
    chosen += [os.environ[variable] for _, base in _bases(cfg.filename) for variable in _variables(base)]
    stem = Path(cfg.filename).stem
    return [value for value in dict.fromkeys(chosen) if value != 'ours' and value not in stem]


def explain_missing_base(path: str) -> str | None:
    """Which ``_base_`` of a config, or of its bases, is not there, and what may be in its place.

    Returns:
        str | None: None if all are there.
    """
    for config, base in _bases(path):
        file = config.parent / _filled(base)
        if file.is_file():
            continue
        said = [f'{os.path.normpath(config)}: its base {os.path.normpath(file)} is not there.']
        for variable, default in _VARIABLE.findall(base):
            place = os.path.join(config.parent, _filled(base, variable, '*'))
            before, _, after = place.partition('*')
            values = sorted(found[len(before) : -len(after)] for found in glob.glob(place))
            said.append(
                f'The environment variable {variable} is {os.environ.get(variable, default)!r}; it may be '
                f'{", ".join(values) or "nothing that is there"}.'
            )
        return ' '.join(said)
    return None


def _bases(path: str | Path) -> Iterator[tuple[Path, str]]:
    """Config and each of its ``_base_`` as it stands there, and of theirs; not those of other packages."""
    path = Path(path)
    if path.suffix != '.py':
        return
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and any(getattr(t, 'id', None) == '_base_' for t in node.targets):
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                if '::' in base:
                    continue
                yield path, base
                inner = path.parent / _filled(base)
                if inner.is_file():
                    yield from _bases(inner)


def _variables(base: str) -> list[str]:
    """The variables in the path of a base that are set."""
    return [variable for variable, _ in _VARIABLE.findall(base) if variable in os.environ]


def _filled(base: str, kept: str | None = None, mark: str = '') -> str:
    """The path of a base with its variables put in, one of them as a mark."""
    return _VARIABLE.sub(lambda m: mark if m[1] == kept else os.environ.get(m[1], m[2]), base)
