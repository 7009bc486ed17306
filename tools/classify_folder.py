#!/usr/bin/env python3
"""Classify a folder of scenes: ``classify_folder.py CONFIG CHECKPOINT SOURCE --out FILE.csv``.

SOURCE is a folder (searched at any depth), a list of images (.txt or .lst, a path a line) or a zip file,
which is not unpacked. FILE.csv gets the classes with the highest scores of each image; where images carry
coordinates (GeoTIFFs, photos with GPS), FILE.geojson has them on the map, in WGS 84.

An image that cannot be read is left out, named and counted. The exit status is 0 if all images were
classified, 1 if some could not be read, and 2 if nothing was done, such as for a wrong option.
"""

import argparse
import sys

from rsmamba_mm.command_line import Parser, add_folder_arguments
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_folder_arguments(parser)
    args = parser.parse_args()
    try:
        from rsmamba_mm.apis import ImagePredictor, classify_folder  # takes seconds

        predictor = ImagePredictor(args.config, args.checkpoint, args.device, args.cfg_options)
        done = classify_folder(predictor, args.source, args.out, args.batch_size, args.topk)
    except (UserError, OSError) as error:
        parser.refuse(error)
    print(f'{done.table}: {done.classified} images')
    if done.map is not None:
        print(f'{done.map}: {done.located} of them with coordinates')
    if done.unreadable:
        count = len(done.unreadable)
        sys.exit(f'{count} of {count + done.classified} images could not be read, and were left out')


if __name__ == '__main__':
    main()
