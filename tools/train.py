#!/usr/bin/env python3
"""Train a model by a config: ``python tools/train.py configs/rsmamba/rsmamba-t_synthetic-128px.py``."""

import rsmamba_mm._considerate_threads  # noqa: F401 - before PyTorch

from rsmamba_mm.command_line import Parser, add_train_arguments
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(description='Train a model')
    parser.add_argument('config', help='config file')
    add_train_arguments(parser)
    args = parser.parse_args()
    try:
        from rsmamba_mm.apis import explained_faults, prepare_train  # takes seconds

        with explained_faults():
            prepare_train(args).train()
    except UserError as error:
        parser.refuse(error)


if __name__ == '__main__':
    main()
