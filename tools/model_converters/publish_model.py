#!/usr/bin/env python3
"""A trained model for others: ``publish_model.py CONFIG CHECKPOINT OUT_DIR``.

Writes the folder ``OUT_DIR/CONFIG-HASH`` in the layout of Hugging Face's hub: weights as safetensors
without the optimiser's state and the local supervision module, config as plain values, and a model card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rsmamba_mm.command_line import AllowPickle, Parser
from rsmamba_mm.errors import OptionError, UserError


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
        from rsmamba_mm import datasets, models  # noqa: F401 - what configs name; all of it takes seconds
        from rsmamba_mm.apis import publish_model

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
        parser.refuse(error)
    print(folder)


def _metrics(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        return {key: value for key, value in content.items() if isinstance(value, int | float)}
    except (OSError, ValueError, AttributeError) as error:
        raise OptionError(f'--metrics {path}: no table of figures ({error})') from error


if __name__ == '__main__':
    main()
