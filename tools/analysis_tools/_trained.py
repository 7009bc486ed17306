"""What the tools that look at a trained model share: its options, and the model with its test images."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mmengine.runner import Runner
from torch import nn

from rsmamba_mm.apis import prepare_test
from rsmamba_mm.command_line import Parser, add_config_arguments
from rsmamba_mm.errors import UserError


class Trained(NamedTuple):
    """A trained model in evaluation mode, its runner, and the folder for what is found."""

    model: nn.Module
    runner: Runner
    folder: Path


def run(parser: Parser, analyze: Callable[[argparse.Namespace, Trained], None]) -> None:
    """Parse the command line and analyse; what a user can mend is said without a traceback."""
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--work-dir', help='for the results (default: work_dirs/CONFIG)')
    add_config_arguments(parser)
    args = parser.parse_args()
    try:
        runner = prepare_test(args)
        runner.load_or_resume()
        analyze(args, Trained(runner.model.eval(), runner, Path(runner.log_dir)))
    except UserError as error:
        parser.refuse(error)
