#!/usr/bin/env python3
"""Map a raster: ``python tools/segment_raster.py CONFIG CHECKPOINT SRC DST``.

A segmenter maps the land cover of each pixel, in windows that fade into one another; a classifier the
land use on a coarse grid of scenes. DST is a cloud-optimised GeoTIFF with the coordinates of SRC. A call
that was interrupted goes on when it is repeated. Several processes share the work:

    torchrun --nproc-per-node 2 tools/segment_raster.py CONFIG CHECKPOINT SRC DST
"""

import argparse
import os
import sys

from rsmamba_mm.command_line import Parser, add_raster_arguments
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(
        description=__doc__.partition('\n\n')[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_raster_arguments(parser)
    args = parser.parse_args()
    try:
        from rsmamba_mm.apis.geo.command import map_raster  # takes seconds

        map_raster(args)
    except UserError as error:
        if int(os.environ.get('RANK', 0)) > 0:  # the first process tells of it
            sys.exit(2)
        parser.refuse(error)


if __name__ == '__main__':
    main()
