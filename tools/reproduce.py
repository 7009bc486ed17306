#!/usr/bin/env python3
"""Run the experiments whose figures are reported, keep what they leave, and write the tables.

``python tools/reproduce.py NAME …`` goes on where an earlier call was cut; ``--list`` names them. Figures,
intervals and pages in ``docs/results`` follow from the runs that are kept there; ``--check`` refuses what
does not.
"""

import argparse
import json
from pathlib import Path

import rsmamba_mm._considerate_threads  # before PyTorch
import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

from rsmamba_mm.apis.bench.checking import check_results, write_results
from rsmamba_mm.apis.bench.experiments import read_bench
from rsmamba_mm.apis.bench.pages import SPEED
from rsmamba_mm.apis.bench.plans import dry_run, listing
from rsmamba_mm.apis.bench.running import WORK, run_experiments
from rsmamba_mm.command_line import Parser
from rsmamba_mm.errors import OptionError, UserError


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('name', nargs='*', help='experiments to run')
    parser.add_argument('--seeds', type=int, default=1, metavar='N', help='runs of each (default: 1)')
    parser.add_argument(
        '--budget', type=float, metavar='MINUTES', help='stop at the end of an epoch before so many minutes'
    )
    parser.add_argument('--list', action='store_true', help='name the experiments, and how far each is')
    parser.add_argument(
        '--dry-run', action='store_true', help='what would run, how long it took, and what is missing'
    )
    parser.add_argument(
        '--measure',
        action='store_true',
        help='time for an image, of the models that are reported or those named, in turns',
    )
    parser.add_argument('--render', action='store_true', help='write tables and pages from the runs')
    parser.add_argument(
        '--check', action='store_true', help='fail where the runs do not give what is written'
    )
    parser.add_argument(
        '--results', type=Path, metavar='FOLDER', help='that has experiments.yml (default: docs/results)'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=WORK,
        metavar='FOLDER',
        help='for checkpoints (default: %(default)s)',
    )
    args = parser.parse_args()
    try:
        reproduce(args)
    except UserError as error:
        parser.refuse(error)
    except KeyboardInterrupt:
        parser.exit(130, 'interrupted: the next call goes on after the last epoch\n')


def reproduce(args: argparse.Namespace) -> None:
    if args.seeds < 1 or (args.budget is not None and args.budget <= 0):
        raise OptionError(f'--seeds and --budget are above 0, got {args.seeds} and {args.budget}')
    bench = read_bench(args.results)
    named = args.name or (bench.costed if args.measure else list(bench.experiments))
    experiments = bench.find(named)
    if args.list:
        print(listing(bench, experiments, args.work_dir))
    elif args.dry_run:
        print(dry_run(bench, experiments, args.seeds, args.work_dir))
    elif args.check:
        check_results(bench)
        print('the logs give what is written')
    elif args.measure:
        speed = json.dumps(measured(experiments), indent=2)
        (bench.folder / SPEED).write_text(f'{speed}\n', encoding='utf-8')
        written(bench)
    elif args.render:
        written(bench)
    elif not args.name:
        raise OptionError('which experiments? --list names them')
    else:
        for experiment in experiments:  # the tables follow each at once: a later one may be cut
            done = run_experiments(bench, [experiment], args.seeds, args.budget, args.work_dir)
            written(bench)
            if not done:
                break


def measured(experiments: list) -> dict:
    from rsmamba_mm.apis.bench.speed import measure

    return measure(experiments)


def written(bench) -> None:
    for path in write_results(bench):
        print(f'{path} written')


if __name__ == '__main__':
    main()
