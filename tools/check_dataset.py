#!/usr/bin/env python3
"""Find all that is wrong with a config's data at once: ``check_dataset.py CONFIG``.

Each file is decoded as the config's pipeline does it, in processes of their own, so that one that hangs or
kills its reader is named as well. Lists, labels, masks and classes are checked too. The exit status is 0
without faults, 1 with faults, and 2 if nothing could be checked, such as for a wrong option.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rsmamba_mm.command_line import Parser, add_config_arguments
from rsmamba_mm.errors import FaultyDataError, OptionError, UserError
from rsmamba_mm.threads import usable_cores

if TYPE_CHECKING:  # what takes seconds is imported where it is used, after the options are read
    from rsmamba_mm.datasets.checking import Fault

WHOLE = dict(holdout=0.0, held_out=False)  # both parts of a list, which is one


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--split', nargs='+', choices=['train', 'val', 'test'], default=['train', 'val', 'test'],
        metavar='SPLIT', help='train, val, test (default: all three)',
    )  # fmt: skip
    parser.add_argument(
        '--workers', type=int, default=usable_cores(), metavar='N',
        help='processes (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--timeout', type=float, default=30.0, metavar='S', help='seconds for a sample (default: 30)'
    )
    parser.add_argument(
        '--clean-list', type=Path, metavar='FOLDER', help='write lists (ann_file) without what is faulty'
    )
    add_config_arguments(parser)
    args = parser.parse_args()
    try:
        if args.workers < 1 or args.timeout <= 0:
            raise OptionError('--workers is at least 1, and --timeout above 0')
        faulty = check(args)
    except (UserError, ImportError, OSError) as error:
        parser.refuse(error)
    sys.exit(int(faulty))


def check(args: argparse.Namespace) -> bool:
    """Check the splits; whether there are faults."""
    from mmengine.registry import DefaultScope

    from rsmamba_mm.apis.runner import read_config  # it brings the cures, which come first
    from rsmamba_mm.datasets.checking import leaf_configs

    cfg = read_config(args.config, args.cfg_options)
    parts: dict[str, tuple[dict, list[str]]] = {}  # what two splits share is checked once
    for split in args.split:
        loader = cfg.get(f'{split}_dataloader')
        for config in leaf_configs(loader['dataset']) if loader else ():
            config = dict(config, **{key: v for key, v in WHOLE.items() if key in config})
            key = repr({k: v for k, v in config.items() if k not in ('pipeline', 'test_mode')})
            parts.setdefault(key, (config, []))[1].append(split)
    if not parts:
        raise OptionError(f'{args.config} has no data of {", ".join(args.split)}')
    found = False
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for number, (config, splits) in enumerate(parts.values()):
            found |= check_part(args, config, splits, number)
    return found


def check_part(args: argparse.Namespace, config: dict, splits: list[str], number: int) -> bool:
    """Check one data set; whether it has faults."""
    from rsmamba_mm.datasets.checking import build_leaf, check_dataset, write_clean_list

    name = f'{config["type"]} ({", ".join(dict.fromkeys(splits))})'
    try:
        dataset, faults = build_leaf(config, skip=True)
    except FaultyDataError as error:
        print(f'{name}: cannot be built')
        report(error.faults)
        return True

    said = [0.0]

    def progress(done: int, total: int) -> None:
        now, end = time.monotonic(), '\n' if done == total else ''
        if end or now - said[0] > 1:
            print(f'\r{name}: {done:,} of {total:,}', end=end, file=sys.stderr, flush=True)
            said[0] = now

    checked = check_dataset(dataset, True, 'train' in splits, args.workers, args.timeout, None, progress)
    faults = faults + checked.faults
    print(f'{name}: {checked.checked:,} samples, {len(faults)} faults')
    report(faults)
    if args.clean_list:
        path = args.clean_list / f'{splits[0]}{f"-{number}" if number >= len(args.split) else ""}.txt'
        faulty = {fault.index for fault in faults if fault.index is not None}
        path = write_clean_list(config, dataset, faulty, path)
        print(f'clean list of {len(dataset) - len(faulty):,} samples: {path}')
        for split in dict.fromkeys(splits):
            print(f'  for {split}: ann_file={path}')
    return bool(faults)


def report(faults: list[Fault]) -> None:
    """Print faults by kind."""
    from rsmamba_mm.datasets.checking import grouped

    for kind, group in grouped(faults).items():
        print(f'  {kind} ({len(group)}):')
        for fault in group:
            print(f'    {fault.path}: {fault.sentence}')


if __name__ == '__main__':
    main()
