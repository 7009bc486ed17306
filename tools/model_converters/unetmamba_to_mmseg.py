#!/usr/bin/env python3
"""A released UNetMamba checkpoint for our configs: ``unetmamba_to_mmseg.py released.ckpt out.pth``.

Takes the Lightning files of the authors' code, whose other contents are neither needed nor run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rsmamba_mm.errors import UserError
from rsmamba_mm.models.released import read_tensors, unetmamba_to_mmseg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path, help='released checkpoint')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument(
        '--without-lsm', action='store_true', help='leave out the local supervision module, for inference'
    )
    args = parser.parse_args()
    try:
        state_dict = unetmamba_to_mmseg(read_tensors(args.checkpoint), not args.without_lsm)
    except UserError as error:
        parser.error(str(error))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=state_dict, meta=dict()), args.out)
    parameters = sum(t.numel() for name, t in state_dict.items() if 'running_' not in name and t.dim())
    print(f'{args.out}: {len(state_dict)} tensors, {parameters:,} parameters')


if __name__ == '__main__':
    main()
