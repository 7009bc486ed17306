#!/usr/bin/env python3
"""A released checkpoint for our configs: ``released_to_mm.py NAME released.ckpt out.pth``.

NAME is the folder of its configs (``banet``, ``dcswin``, ``unetmamba``, …), or ``rest`` for the encoder out
of any of these files. Plain files and those of Lightning are read, nothing but tensors and class names; the
variant and the number of classes are told by the shapes. Every tensor is compared with the model: what is
missing, surplus or of another shape is named, and nothing is written. ``--to released`` is the way back of
rest, rsmamba, unetmamba and vim: a checkpoint of ours becomes a file for the authors' code.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import rsmamba_mm._openmmlab

import torch
from mmengine.registry import DATASETS, init_default_scope

import rsmamba_mm.datasets
import rsmamba_mm.models  # noqa: F401
from rsmamba_mm.command_line import AllowPickle, Parser
from rsmamba_mm.errors import OptionError, UserError
from rsmamba_mm.models.class_order import difference, reorder_rows
from rsmamba_mm.models.released import (
    SYSTEMS,
    Converted,
    convert_released,
    count_parameters,
    model_of,
    read_checkpoint,
)
from rsmamba_mm.models.released.systems import load_config, system


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=SYSTEMS, metavar='NAME', help=', '.join(SYSTEMS))
    parser.add_argument('checkpoint', type=Path, help='checkpoint to convert')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument(
        '--to', choices=['mm', 'released'], default='mm', help='whose names (default: %(default)s)'
    )
    parser.add_argument(
        '--config',
        help='of another model than the one recognised; with data, whose classes the rows of a classifier '
        'are brought into the order of',
    )
    parser.add_argument(
        '--without-auxiliary', action='store_true', help='leave out auxiliary heads, for inference'
    )
    parser.add_argument(
        '--allow-pickle', action=AllowPickle, help='trust the file, beside PyTorch before 2.10'
    )
    args = parser.parse_args()
    try:
        print(convert(args))
    except UserError as error:
        parser.refuse(error)


def convert(args: argparse.Namespace) -> str:
    """Write the file; says what is in it."""
    tensors, classes = read_checkpoint(args.checkpoint)
    back = args.to == 'released'
    module = system(args.name)
    if back and not hasattr(module, 'release'):
        raise OptionError(f'--to released: there is no way back for {args.name}')
    try:
        if back:
            release = module.release(tensors)
            tensors = release.get('state_dict') or release.get('model') or release
        found = convert_released(args.name, tensors, args.config, not args.without_auxiliary)
        classes, said = order_classes(found, classes, args.config)
    except OptionError as error:
        raise OptionError(f'{args.checkpoint}: {error}') from error
    if back:
        content = module.release(found.state_dict)
    else:
        meta = {} if classes is None else dict(dataset_meta=dict(classes=classes))
        content = dict(state_dict=found.state_dict, meta=meta)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, args.out)
    kind = found.config.get('arch') if isinstance(found.config, dict) else Path(found.config).stem
    numbers = f'{len(found.state_dict)} tensors, {count_parameters(found.state_dict):,} parameters'
    lines = [f'{args.out}: {numbers}, all as in {args.name} ({kind}){said}']
    if found.left_out:
        names = ', '.join(found.left_out[:20]) + (', …' if len(found.left_out) > 20 else '')
        lines.append(f'left out, of no use there: {len(found.left_out)} tensors: {names}')
    return '\n'.join(lines)


def order_classes(
    found: Converted, theirs: Sequence[str] | None, config: str | None
) -> tuple[Sequence[str] | None, str]:
    """The classes and where they are from; the rows of a classifier follow the order of the data set.

    Where the file does not name them they are those of the data set of a config that was given.
    """
    if found.num_classes is None:
        return None, ''
    ours = dataset_classes(found)
    if ours is not None and config is None and set(ours) != set(theirs or ()):
        ours = None  # a config that was recognised knows no more than the shapes
    if theirs is not None and ours is not None and set(theirs) != set(ours):
        raise OptionError(f'it is of other classes than the data of the config: {difference(theirs, ours)}')
    if ours is not None and len(ours) != found.num_classes:
        raise OptionError(f'it has {found.num_classes} classes, and the data of the config {len(ours)}')
    if theirs is None:
        order = 'in the released order, since the file has no names'
        return ours, f'; {len(ours)} classes, {order}' if ours is not None else ''
    if ours in (None, theirs) or 'head.fc.weight' not in found.state_dict:
        return theirs, f'; {len(theirs)} classes, as the file names them'
    reorder_rows(found.state_dict, model_of(found), theirs, ours)
    return ours, f'; {len(ours)} classes, reordered from the names in the file'


def dataset_classes(found: Converted) -> tuple[str, ...] | None:
    """Those of the data in the config; None where it does not say."""
    cfg = load_config(found.config)
    if 'test_dataloader' not in cfg:
        return None
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    kind = DATASETS.get(cfg.test_dataloader.dataset.type)
    return tuple(getattr(kind, 'METAINFO', {}).get('classes', ())) or None


if __name__ == '__main__':
    main()
