#!/usr/bin/env python3
"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT --out predictions.pkl``."""

from rsmamba_mm.command_line import Parser, add_test_arguments
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(description='Test a model')
    parser.add_argument('config', help='config file')
    add_test_arguments(parser)
    args = parser.parse_args()
    try:
        from rsmamba_mm.apis import explained_faults, prepare_test  # takes seconds

        with explained_faults():
            prepare_test(args).test()
    except UserError as error:
        parser.refuse(error)


if __name__ == '__main__':
    main()
