#!/usr/bin/env python3
"""Test a checkpoint: ``python tools/test.py CONFIG CHECKPOINT --out predictions.pkl``."""

import argparse

from rsmamba_mm.apis import add_test_arguments, explained_faults, prepare_test
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description='Test a model')
    parser.add_argument('config', help='config file')
    add_test_arguments(parser)
    try:
        with explained_faults():
            prepare_test(parser.parse_args()).test()
    except UserError as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
