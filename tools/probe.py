#!/usr/bin/env python3
"""What a pre-trained encoder is worth, beside the same with random weights.

``python tools/probe.py configs/roma/clustermamba-mini_ucmerced-half-96px.py CHECKPOINT`` prints the
accuracy on the test part of a linear classifier and of the nearest neighbours on frozen features, with 95 %
intervals; ``--probes finetune`` trains the whole model by the config from both.
"""

import argparse
import json
from pathlib import Path

import rsmamba_mm._openmmlab

import rsmamba_mm.datasets
import rsmamba_mm.engine
import rsmamba_mm.evaluation
import rsmamba_mm.models  # noqa: F401
from rsmamba_mm.apis.probes import PROBES, describe, probe
from rsmamba_mm.apis.runner import read_config
from rsmamba_mm.command_line import Parser, add_config_arguments
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a classifier on the encoder')
    parser.add_argument('checkpoint', nargs='?', help="of the pre-training; default: the config's")
    parser.add_argument(
        '--probes', nargs='+', choices=PROBES, default=['linear', 'knn'], help='default: linear knn'
    )
    parser.add_argument(
        '--seeds', type=int, default=3, metavar='N', help='random encoders, and trainings (default: 3)'
    )
    parser.add_argument(
        '--token', action='store_true', help='take a class token, as published, not the mean of the patches'
    )
    parser.add_argument('--device', help='default: a GPU if there is one')
    parser.add_argument(
        '--work-dir', default='work_dirs/probe', help='for --probes finetune (default: %(default)s)'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')
    add_config_arguments(parser)
    args = parser.parse_args()
    try:
        config = read_config(args.config, args.cfg_options)
        results = probe(
            config, args.checkpoint, args.probes, args.seeds, args.token, args.device, args.work_dir
        )
    except UserError as error:
        parser.refuse(error)
    print(describe(results))
    if args.json:
        figures = {name: {side: e._asdict() for side, e in each.items()} for name, each in results.items()}
        args.json.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    main()
