"""The list of the samples that have no fault."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ...errors import OptionError, OutputError
from .annotations import build_leaf


def write_clean_list(config: dict, dataset: Any, faulty: Collection[int], path: str | Path) -> Path:
    """Write an ``ann_file`` of a data set with its samples but the faulty ones.

    Args:
        config (dict): Of the data set itself, not of a wrapper.
        dataset (Any): As built of it.
        faulty (Collection[int]): Indices of the samples to leave out.
        path (str | Path): The file; a suffix that its format asks for is put on.

    Returns:
        Path: The file that was written.

    Raises:
        OptionError: If the data set takes no list.
        OutputError: If the file cannot be written.
    """
    kept = [dataset.get_data_info(i) for i in range(len(dataset)) if i not in faulty]
    kinds = {base.__name__ for base in type(dataset).__mro__}
    path = Path(path).absolute()
    if 'SceneFolder' in kinds:
        lines = ['/'.join(Path(sample['img_path']).parts[-2:]) for sample in kept]
    elif 'BaseSegDataset' in kinds:
        folder, suffix = dataset.data_prefix.get('img_path') or '', dataset.img_suffix
        lines = [os.path.relpath(s['img_path'], folder or '.').removesuffix(suffix) for s in kept]
    elif 'CustomDataset' in kinds:
        lines = [f'{os.path.relpath(s["img_path"], dataset.img_prefix)} {s["gt_label"]}' for s in kept]
    else:
        path = path.with_suffix('.json')
        metainfo = {k: v for k, v in dataset.metainfo.items() if isinstance(v, str | int | list | tuple)}
        whole = [dict(s, img_path=os.path.abspath(s['img_path'])) for s in kept if 'img_path' in s]
        lines = [json.dumps(dict(metainfo=metainfo, data_list=whole), indent=1)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    except OSError as error:
        raise OutputError(f'{path} could not be written ({error.strerror}): give another folder') from error
    _prove(config, dataset, kept, path)
    return path


def _prove(config: dict, dataset: Any, kept: list[dict], path: Path) -> None:
    """Let the data set read the list."""
    settings = dict(config, ann_file=str(path))
    if 'CustomDataset' in {base.__name__ for base in type(dataset).__mro__}:
        settings['metainfo'] = dict(config.get('metainfo') or {}, classes=dataset.metainfo['classes'])
    try:
        again, _ = build_leaf(settings)
        found = sorted(os.path.abspath(again.get_data_info(i)['img_path']) for i in range(len(again)))
    except Exception:  # of whatever kind: it is no list for this data set
        found = None
    if found != sorted(os.path.abspath(sample['img_path']) for sample in kept):
        path.unlink()
        raise OptionError(
            f'{type(dataset).__name__} takes no list: mend or remove the files, or train with --skip-faulty'
        )
