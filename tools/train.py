#!/usr/bin/env python3
"""Train a model by a config: ``python tools/train.py configs/rsmamba/rsmamba-t_synthetic-128px.py``."""

import argparse

import rsmamba_mm._considerate_threads  # noqa: F401 - before PyTorch

from rsmamba_mm.apis import add_train_arguments, explained_faults, prepare_train
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='config file')
    add_train_arguments(parser)
    try:
        with explained_faults():
            prepare_train(parser.parse_args()).train()
    except UserError as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
