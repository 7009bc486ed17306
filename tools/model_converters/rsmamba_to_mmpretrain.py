#!/usr/bin/env python3
"""A released RSMamba checkpoint, verified and with its classes: ``… released.pth CONFIG out.pth``.

The parameters bear the same names here, so a released file also loads as it is. This command reads nothing
but its tensors and class names, checks that every tensor fits the model of the config, brings the rows of
the head into the order of the config's data set, and writes the names of the classes beside them: from then
on no tool has to assume an order. ``--to released`` is the way back: a checkpoint of ours, verified
likewise, becomes a file of tensors alone, with the rows in the released order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

from rsmamba_mm.apis.options import AllowPickle
from rsmamba_mm.errors import OptionError, UserError
from rsmamba_mm.models.class_order import difference, reorder_rows
from rsmamba_mm.models.released import read_checkpoint, verify_tensors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', type=Path, help='released checkpoint')
    parser.add_argument('config', type=Path, help='config of its model and data set')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument(
        '--to', choices=['mmpretrain', 'released'], default='mmpretrain', help='default: %(default)s'
    )
    parser.add_argument(
        '--allow-pickle', action=AllowPickle, help='trust the file, beside PyTorch before 2.10'
    )
    args = parser.parse_args()
    try:
        if not args.config.is_file():
            raise OptionError(f'config not found: {args.config}')
        print(convert(args.checkpoint, Config.fromfile(args.config), args.out, args.to == 'released'))
    except UserError as error:
        parser.error(str(error))


def convert(checkpoint: Path, cfg: Config, out: Path, to_released: bool = False) -> str:
    """Write the checkpoint; says what was found."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    state_dict, theirs = read_checkpoint(checkpoint)
    model = MODELS.build(cfg.model)
    try:
        verify_tensors(state_dict, model)
    except OptionError as error:
        raise OptionError(f'{checkpoint}: {error}') from error
    dataset = DATASETS.get(cfg.test_dataloader.dataset.type)
    ours = tuple(getattr(dataset, 'METAINFO', {}).get('classes') or theirs or ())
    if not ours:
        raise OptionError(
            f'neither {checkpoint} nor {cfg.test_dataloader.dataset.type} says what the classes are'
        )
    if theirs is not None and set(theirs) != set(ours):
        raise OptionError(
            f'{checkpoint} is of other classes than the data of the config: {difference(theirs, ours)}'
        )
    said = 'in the released order, since the file has no names'
    if theirs is not None:
        said = 'as the file names them'
        if theirs != ours:
            reorder_rows(state_dict, model, theirs, ours)
            said = 'reordered from the names in the file'
    out.parent.mkdir(parents=True, exist_ok=True)
    meta = {} if to_released else dict(dataset_meta=dict(classes=ours))
    torch.save(dict(state_dict=state_dict, meta=meta), out)
    return f'{out}: {len(state_dict)} tensors, all as in the model; {len(ours)} classes, {said}'


if __name__ == '__main__':
    main()
