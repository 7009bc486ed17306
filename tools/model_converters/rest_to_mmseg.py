#!/usr/bin/env python3
"""A released ResT for ``init_cfg``, or ours for the authors' code: ``rest_to_mmseg.py rest.pth out.pth``.

The names are the same in both. The encoder is taken out of whatever file it is in: the authors' classifier,
a released UNetMamba, a segmenter of ours (``--to released``). Every tensor is compared with the model: what
is missing, surplus or of another shape is named, and nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import torch

from rsmamba_mm.apis.options import AllowPickle
from rsmamba_mm.errors import OptionError, UserError
from rsmamba_mm.models import ResT
from rsmamba_mm.models.released import find_rest, read_tensors, verify_tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path, help='checkpoint to convert')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--arch', choices=ResT.arch_zoo, default='lite', help='default: %(default)s')
    parser.add_argument(
        '--to',
        choices=['mmseg', 'released'],
        default='mmseg',
        help="mmseg puts them under state_dict, released as the authors' code reads them (default: mmseg)",
    )
    parser.add_argument('--allow-pickle', action=AllowPickle, help='with PyTorch before 2.10')
    args = parser.parse_args()
    try:
        tensors = read_tensors(args.checkpoint)
        try:
            state_dict, others = find_rest(tensors)
            verify_tensors(state_dict, ResT(args.arch))
        except OptionError as error:
            raise OptionError(f'{args.checkpoint}: {error}') from error
    except UserError as error:
        parser.error(str(error))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=state_dict, meta={}) if args.to == 'mmseg' else state_dict, args.out)
    print(f'{args.out}: {len(state_dict)} tensors, all as in ResT {args.arch}')
    if others:
        print(f'left out, not of the encoder: {", ".join(others)}')


if __name__ == '__main__':
    main()
