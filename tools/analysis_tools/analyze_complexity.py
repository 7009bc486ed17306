#!/usr/bin/env python3
"""What each module of a model costs: ``analyze_complexity.py CONFIG [--size H W] [--out FOLDER]``.

Parameters, multiply-adds, operations of the scans, and the bytes that one image of a training step keeps
for its backward. FOLDER gets ``complexity.csv`` with every module, ``complexity.png`` with some.
"""

import argparse
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

from mmengine.registry import MODELS, init_default_scope
from model_table import image_size

from rsmamba_mm.apis.runner import read_config
from rsmamba_mm.command_line import Parser, add_override_argument
from rsmamba_mm.errors import OptionError, UserError
from rsmamba_mm.models.complexity import complexity_by_module
from rsmamba_mm.visualization import plot_complexity, write_table


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument(
        '--size', type=int, nargs='+', help='height and width (default: of the test images)'
    )
    parser.add_argument('--depth', type=int, default=2, help='of the modules that are shown (default: 2)')
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/complexity'), help='default: %(default)s'
    )
    add_override_argument(parser)
    args = parser.parse_args()
    try:
        analyze(args)
    except UserError as error:
        parser.refuse(error)


def analyze(args: argparse.Namespace) -> None:
    cfg = read_config(args.config, args.cfg_options)
    size = args.size or [image_size(cfg)]
    if len(size) > 2 or min(size) < 1 or args.depth < 1:
        raise OptionError(
            f'--size takes one or two sides, --depth a positive number, got {size}, {args.depth}'
        )
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(cfg.model)
    channels = len(cfg.get('data_preprocessor', {}).get('mean') or (0, 0, 0))
    rows = complexity_by_module(model, (1, channels, size[0], size[-1]))
    table = [
        {
            'module': row.name or '(all)',
            'class': row.kind,
            'parameters': row.parameters,
            'multiply_adds': row.multiply_adds,
            'scan_operations': row.scans,
            'activation_bytes': row.activations,
        }
        for row in rows
    ]
    shown = [row for row in rows if not row.name or row.name.count('.') < args.depth]
    width = max(len(row.name) for row in shown) + 2
    print(f'{"module":{width}} {"parameters":>12} {"multiply-adds":>14} {"scans":>10} {"activations":>12}')
    for row in shown:
        print(
            f'{row.name or "(all)":{width}} {row.parameters:12,} {row.multiply_adds / 1e9:12.3f} G '
            f'{row.scans / 1e9:8.3f} G {row.activations / 2**20:8.1f} MiB'
        )
    print(write_table(table, args.out / 'complexity.csv'))
    print(plot_complexity(shown, args.out / 'complexity.png'))


if __name__ == '__main__':
    main()
