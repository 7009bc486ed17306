#!/usr/bin/env python3
"""Learning curves of several runs in one picture: ``analyze_curves.py RUN … [--names …] [--out FOLDER]``.

A RUN is a work dir, whose latest training is taken, the folder of one run in it, or its ``scalars.json``.
FOLDER gets ``curves.png`` and ``curves.csv``.
"""

import argparse
from pathlib import Path

from rsmamba_mm.command_line import Parser
from rsmamba_mm.errors import MissingDataError, OptionError, UserError
from rsmamba_mm.visualization import plot_curves, read_curve, write_table


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN')
    parser.add_argument('--names', nargs='+', help='of the runs, in their order (default: their folders)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/curves'), help='default: %(default)s')
    args = parser.parse_args()
    try:
        analyze(args)
    except (UserError, ValueError) as error:
        parser.refuse(error)


def analyze(args: argparse.Namespace) -> None:
    folders = [run if run.is_dir() else run.parent for run in map(Path.resolve, args.runs)]
    names = args.names or [folder.name for folder in folders]
    if len(names) != len(args.runs):
        raise OptionError(f'--names: {len(names)} names for {len(args.runs)} runs')
    if len(set(names)) != len(names):
        raise OptionError(f'several runs have one name ({", ".join(names)}): give --names')
    curves = {name: read_curve(scalars(run)) for name, run in zip(names, args.runs, strict=True)}
    rows = [
        dict(run=name, what=key, unit=curve.unit, place=f'{place:.6g}', value=f'{value:.6g}')
        for name, curve in curves.items()
        for key, points in curve.points.items()
        for place, value in points
    ]
    print(write_table(rows, args.out / 'curves.csv'))
    print(plot_curves(curves, args.out / 'curves.png'))


def scalars(run: Path) -> Path:
    """The record of a run; of several, the latest that trained."""
    if run.is_file():
        return run
    found = sorted((*run.glob('vis_data/scalars.json'), *run.glob('*/vis_data/scalars.json')))
    trained = [path for path in found if '"loss"' in path.read_text()]
    if not trained:
        raise MissingDataError(f'{run}: no training was recorded here (vis_data/scalars.json)')
    return trained[-1]


if __name__ == '__main__':
    main()
