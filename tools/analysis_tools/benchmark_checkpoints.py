#!/usr/bin/env python3
"""What a checkpoint costs that is written whole, to the disk: MMEngine's way and this package's in turns.

    python tools/analysis_tools/benchmark_checkpoints.py configs/rsmamba/rsmamba-t_synthetic-128px.py

An epoch of the config is trained, and then a checkpoint is written some times by each.
"""

import argparse
import statistics
import time
from tempfile import TemporaryDirectory

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

from _measure import interleave_here, make_parser, table, write_json
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rsmamba_mm.apis import prepare_train
from rsmamba_mm.command_line import add_config_arguments
from rsmamba_mm.engine.safe_checkpoint import ATOMIC

SIDES = {'MMEngine': None, 'whole, to the disk': dict(backend=ATOMIC)}


class Writer(Hook):
    """Measures the epoch, then writes checkpoints in turns."""

    def __init__(self, folder: str, repeats: int) -> None:
        self.folder, self.repeats = folder, repeats

    def before_train_epoch(self, runner: Runner) -> None:
        self.start = time.perf_counter()

    def after_train_epoch(self, runner: Runner) -> None:
        self.epoch = time.perf_counter() - self.start

        def make_step(side: str):
            name, options = f'{"".join(filter(str.isalpha, side))}.pth', SIDES[side]
            return lambda: runner.save_checkpoint(self.folder, name, backend_args=options)

        self.seconds = interleave_here(make_step, list(SIDES), self.repeats)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('config', help='whose epoch and checkpoint are measured')
    add_config_arguments(parser)
    args = parser.parse_args()
    with TemporaryDirectory(dir='.') as folder:  # beside work_dirs, not in a file system of memory
        run = argparse.Namespace(
            config=args.config,
            work_dir=folder,
            cfg_options=args.cfg_options,
            launcher='none',
            no_validate=True,
        )
        runner = prepare_train(run)
        runner._train_loop['max_epochs'] = 1
        writer = Writer(folder, args.repeats)
        runner.register_hook(writer, priority='LOWEST')
        runner.train()
    table(writer.seconds, 'MMEngine')
    own, plain = (statistics.median(writer.seconds[side]) for side in ('whole, to the disk', 'MMEngine'))
    print(
        f'an epoch takes {writer.epoch:.2f} s: one checkpoint in it is {own / writer.epoch:.2%}, '
        f'{(own - plain) / writer.epoch:.2%} more than of MMEngine'
    )
    write_json(args, epoch=writer.epoch, seconds=writer.seconds)


if __name__ == '__main__':
    main()
