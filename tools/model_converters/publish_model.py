#!/usr/bin/env python3
"""A trained model for others: ``publish_model.py CONFIG CHECKPOINT OUT_DIR``.

Writes the folder ``OUT_DIR/CONFIG-HASH`` in the layout of Hugging Face's hub: weights as safetensors
without the optimiser's state and the local supervision module, config as plain values, and a model card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import rsmamba_mm._openmmlab

import rsmamba_mm.datasets
import rsmamba_mm.models  # noqa: F401
from rsmamba_mm.apis import publish_model
from rsmamba_mm.apis.options import AllowPickle
from rsmamba_mm.errors import OptionError, UserError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of its model')
    parser.add_argument('out_dir', type=Path, help='where the folder is made')
    parser.add_argument(
        '--ema',
        choices=['averaged', 'last'],
        default='averaged',
        help='of a training with EMA: the averaged weights (default), or those of the last step',
    )
    parser.add_argument(
        '--metrics',
        type=Path,
        metavar='FILE.json',
        help='of tools/test.py --out FILE.json --out-item metrics',
    )
    parser.add_argument(
        '--command', help='of the training, for the card (default: as the training left it)'
    )
    parser.add_argument('--license', metavar='SPDX', help='of the weights, such as CC-BY-4.0')
    parser.add_argument('--half', action='store_true', help='write the weights as float16')
    parser.add_argument('--allow-pickle', action=AllowPickle, help='let the checkpoint run code')
    args = parser.parse_args()
    try:
        metrics = None if args.metrics is None else _metrics(args.metrics)
        folder = publish_model(
            args.config,
            args.checkpoint,
            args.out_dir,
            args.ema,
            metrics,
            args.command,
            args.license,
            args.half,
        )
    except UserError as error:
        parser.error(str(error))
    print(folder)


def _metrics(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        return {key: value for key, value in content.items() if isinstance(value, int | float)}
    except (OSError, ValueError, AttributeError) as error:
        raise OptionError(f'--metrics {path}: no table of figures ({error})') from error


if __name__ == '__main__':
    main()
