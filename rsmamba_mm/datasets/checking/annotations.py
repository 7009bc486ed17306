"""Lists of samples, before a data set reads them: all their faulty lines at once."""

from __future__ import annotations

import copy
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from ...errors import FaultyDataError
from ...scopes import find_class
from .faults import Fault, refuse

_BOM = '\ufeff'


def read_lines(path: str | Path, bom: bool = False) -> tuple[list[str], list[Fault]]:
    """Lines of a text file, and what is wrong with it as a text.

    Args:
        path (str | Path): The file, in UTF-8.
        bom (bool): Whether its reader knows a byte order mark. Defaults to False.

    Raises:
        FaultyDataError: If it is no text in UTF-8, or cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        refuse([Fault(str(path), 'list', f'it cannot be read ({error.strerror})')], 'the list')
        raise
    try:
        if data[:2] in (b'\xff\xfe', b'\xfe\xff') or b'\0' in data:
            raise ValueError('it is UTF-16, or no text')
        text = data.decode()
    except ValueError as error:
        number = data[: getattr(error, 'start', 0)].count(b'\n') + 1
        refuse(
            [Fault(f'{path}:{number}', 'encoding', f'it is not in UTF-8 ({error}): save it so')],
            'the list',
        )
        raise
    faults = []
    if text.startswith(_BOM):
        text = text[1:]
        if not bom:
            faults.append(
                Fault(
                    f'{path}:1',
                    'byte order mark',
                    'it would become part of the first name: save the list as UTF-8 without it',
                    line=1,
                )
            )
    lines = [line.rstrip('\r') for line in text.split('\n')]
    return (lines[:-1] if lines and not lines[-1] else lines), faults


def annotation_faults(config: dict) -> list[Fault]:
    """Faulty lines of the list of a data set of mmpretrain's or mmseg's; [] for those that read their own.

    Args:
        config (dict): Of the data set itself, not of a wrapper.
    """
    reader, path, root = _reader(config)
    if reader is None:
        return _no_images(config, root)
    if not os.path.isfile(path):
        what = 'is a folder, not a file' if os.path.isdir(path) else 'is not there'
        return [Fault(path, 'list', f'the list {what}: mend ann_file, which is relative to data_root')]
    return list(reader(config, path, root))


def _no_images(config: dict, root: str) -> list[Fault]:
    """Whether mmseg's data sets without a list have images of their suffix."""
    suffix = _img_suffix(config)
    if suffix is None or config.get('ann_file') or not config.get('data_prefix'):
        return []
    if os.path.isdir(root) and not any(Path(root).rglob(f'*{suffix}')):
        return [_none(f'{root}/*{suffix}', _type_name(config))]
    return []


def _img_suffix(config: dict) -> str | None:
    """Of a data set of mmseg's; None of another one."""
    kind = find_class(DATASETS, config['type'])
    if 'BaseSegDataset' not in {base.__name__ for base in getattr(kind, '__mro__', ())}:
        return None
    for base in kind.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get('img_suffix')
        if parameter is not None:
            return config.get('img_suffix', parameter.default)
    return None


def _reader(config: dict) -> tuple[Callable[..., Iterator[Fault]] | None, str, str]:
    """What checks the list of a data set, the list, and the folder of the images."""
    kind = find_class(DATASETS, config['type'])
    bases = {base.__name__: base for base in getattr(kind, '__mro__', ())}
    root, ann = config.get('data_root') or '', config.get('ann_file') or ''
    prefix = config.get('data_prefix') or ''
    prefix = prefix.get('img_path', '') if isinstance(prefix, dict) else prefix
    path, images = os.path.join(root, os.path.expanduser(ann)), os.path.join(root, prefix)
    for name, reader in (('CustomDataset', _labelled), ('BaseSegDataset', _names_only)):
        if name in bases and not (name == 'BaseSegDataset' and os.path.isdir(path)):
            same = 'load_data_list' not in vars(kind) or kind is bases[name] or name == 'BaseSegDataset'
            return (reader if same and ann else None), path, images
    own = bases.get('BaseDataset')
    if own is not None and getattr(kind, 'load_data_list', None) is getattr(own, 'load_data_list', 0):
        return (_openmmlab if ann else None), path, images
    return None, path, images


def _labelled(config: dict, path: str, root: str) -> Iterator[Fault]:
    """mmpretrain's ``CustomDataset``: a name, a space and a number in a line."""
    lines, faults = read_lines(path)
    yield from faults
    labelled = config.get('with_label', True)
    if not lines:
        yield Fault(path, 'no samples', 'the list is empty: write it again')
    for number, line in enumerate(lines, 1):
        at, parts = f'{path}:{number}', line.strip().rsplit(' ', 1)
        if not line.strip():
            yield Fault(at, 'blank line', 'it has no name: remove the line', line=number)
        elif labelled and len(parts) < 2:
            hint = ' (a tab stands in its place)' if '\t' in line else ''
            yield Fault(
                at, 'no label', f'{line!r} has no space and number after the name{hint}: write NAME LABEL',
                line=number,
            )  # fmt: skip
        elif labelled and not _is_integer(parts[1]):
            yield Fault(
                at,
                'no label',
                f'{parts[1]!r} in {line!r} is no integer: write NAME LABEL',
                line=number,
            )
        else:
            yield from _outside(at, parts[0] if labelled else line.strip(), root, number)


def _names_only(config: dict, path: str, root: str) -> Iterator[Fault]:
    """mmseg's ``BaseSegDataset``: a name without suffix in a line."""
    lines, faults = read_lines(path)
    yield from faults
    if not lines:
        yield Fault(path, 'no samples', 'the list is empty: write it again')
    for number, line in enumerate(lines, 1):
        at, name = f'{path}:{number}', line.strip()
        if not name:
            yield Fault(at, 'blank line', 'it has no name: remove the line', line=number)
        elif '\t' in name:
            yield Fault(at, 'two columns', f'{line!r} has a tab: write one name in a line', line=number)
        elif name.endswith(suffix := _img_suffix(config) or '.jpg'):
            yield Fault(
                at, 'suffix in the list', f'{name!r} ends in {suffix}, which is added to it: write '
                'the name without it', line=number,
            )  # fmt: skip
        else:
            yield from _outside(at, name, root, number)


def _openmmlab(config: dict, path: str, root: str) -> Iterator[Fault]:
    """OpenMMLab's own format: JSON with ``metainfo`` and ``data_list``."""
    if not path.endswith('.json'):
        return
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8-sig'))
    except (ValueError, OSError) as error:
        yield Fault(path, 'list', f'it is no JSON ({error}): write it again')
        return
    if not isinstance(content, dict) or not {'metainfo', 'data_list'} <= content.keys():
        yield Fault(path, 'list', 'it lacks metainfo and data_list, of OpenMMLab 2.0: convert it')
        return
    if not isinstance(content['data_list'], list) or not content['data_list']:
        yield Fault(path, 'no samples', 'its data_list has no samples: write it again')
        return
    for number, entry in enumerate(content['data_list'], 1):
        at = f'{path}: sample {number}'
        if not isinstance(entry, dict) or not isinstance(entry.get('img_path'), str):
            yield Fault(at, 'no name', 'it has no img_path: mend the list', line=number)
        else:
            yield from _outside(at, entry['img_path'], root, number)


def _outside(at: str, name: str, root: str, number: int) -> Iterator[Fault]:
    """A name that leaves the folder of the images."""
    inside = os.path.abspath(root)
    place = os.path.normpath(os.path.join(inside, name))
    if place != inside and not place.startswith(inside.rstrip(os.sep) + os.sep):
        yield Fault(
            at, 'outside', f'{name!r} leaves the folder of the images, {inside}: list names in it, or set '
            'data_root', line=number,
        )  # fmt: skip


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def build_leaf(config: dict, skip: bool = False) -> tuple[Any, list[Fault]]:
    """Build a data set whose list may have faulty lines.

    Args:
        config (dict): Of the data set itself, not of a wrapper.
        skip (bool): Whether to build it without the faulty lines. Defaults to False.

    Returns:
        tuple[Any, list[Fault]]: The data set, and the lines that were left out.

    Raises:
        FaultyDataError: If lines are faulty that are not, or cannot be, left out.
    """
    try:
        refuse(annotation_faults(config), f'the list of {_type_name(config)}')
        return _built(config), []
    except FaultyDataError as error:
        faults, lines = error.faults, {fault.line for fault in error.faults}
        if not skip or None in lines or not lines:
            raise
    path = os.path.join(config.get('data_root') or '', os.path.expanduser(config['ann_file']))
    config = copy.deepcopy(dict(config))
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / os.path.basename(path)
        if path.endswith('.json'):
            content = json.loads(Path(path).read_text(encoding='utf-8-sig'))
            kept = [entry for i, entry in enumerate(content['data_list'], 1) if i not in lines]
            clean.write_text(json.dumps(dict(content, data_list=kept)))
        else:
            every, _ = read_lines(path, bom=True)
            first_is_whole = all(f.kind == 'byte order mark' for f in faults if f.line == 1)
            dropped = lines - ({1} if first_is_whole else set())
            kept = [line for i, line in enumerate(every, 1) if i not in dropped]
            clean.write_text(''.join(f'{line}\n' for line in kept), encoding='utf-8')
        if not kept:
            refuse(faults, f'the list of {_type_name(config)}, of which nothing is left')
        return _built(dict(config, ann_file=str(clean))), faults


def _built(config: dict) -> Any:
    try:
        dataset = DATASETS.build(config)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    except (ValueError, RuntimeError) as error:
        if not str(error).startswith(('need at least one array', 'Found 0 files')):
            raise
        # what MMEngine and mmpretrain say of no samples
        place = os.path.join(str(config.get('data_root') or ''), str(config.get('ann_file') or ''))
        refuse([_none(place, _type_name(config))], 'the data')
        raise
    return dataset


def _none(place: str, name: str) -> Fault:
    return Fault(
        place,
        'no samples',
        f'{name} finds none: has its folder images of its suffix (img_suffix, extensions)?',
    )


def _type_name(config: dict) -> str:
    return config['type'] if isinstance(config['type'], str) else config['type'].__name__
