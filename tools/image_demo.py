#!/usr/bin/env python3
"""Predict an image, or all in a folder: ``python tools/image_demo.py IMAGE_OR_FOLDER CONFIG CHECKPOINT``.

A classifier leaves ``pictures/`` with the highest scores and ``predictions.csv``; a segmenter ``pictures/``
with the classes over the image, ``maps/`` in colours, ``labels/`` with a class in each pixel and
``classes.csv``, which says what is what.
"""

import argparse

from rsmamba_mm.command_line import Parser, add_inference_arguments
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(
        description=__doc__.partition('\n\n')[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_inference_arguments(parser)
    args = parser.parse_args()
    try:
        from rsmamba_mm.apis import predict_images  # takes seconds

        for line in predict_images(args):
            print(line, flush=True)
    except UserError as error:
        parser.refuse(error)


if __name__ == '__main__':
    main()
