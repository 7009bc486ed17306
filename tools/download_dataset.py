#!/usr/bin/env python3
"""Get a published data set into the layout that the configs read: ``download_dataset.py ucmerced``.

Fetches it from where it is published today (what broke off is resumed, and every file is checked against
its published checksum), unpacks it into ``data``, or the folder that ``RSMAMBA_DATA`` names, and splits
scenes in the paper's shares unless lists are there. Without a name the known data sets are listed.

A machine without network, or an address that has moved: fetch the file by hand, and give it by
``--archive``. ISPRS Vaihingen and Potsdam are handed out for a filled-in form alone: give their archives,
which are then cut into tiles by ``dataset_converters/isprs_tiles.py``.
"""

import argparse
import os
from pathlib import Path

from rsmamba_mm.command_line import Parser
from rsmamba_mm.datasets.downloads import SOURCES, prepare_dataset
from rsmamba_mm.errors import UserError


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', nargs='?', choices=SOURCES, help='the data set')
    parser.add_argument(
        '--root', type=Path, default=os.environ.get('RSMAMBA_DATA', 'data'),
        help='folder of all data (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--archive', type=Path, action='append', default=[], metavar='FILE', dest='archives',
        help='a file fetched by hand; once for each file',
    )  # fmt: skip
    parser.add_argument('--mirror', metavar='URL', help='fetch the files from this folder on a server')
    parser.add_argument(
        '--any-checksum', action='store_true', help='take what --archive gives whatever its checksum'
    )
    parser.add_argument('--keep', action='store_true', help='keep fetched archives in ROOT/downloads')
    args = parser.parse_args()
    if args.name is None:
        list_sources()
        return
    try:
        prepare_dataset(
            args.name, args.root, args.archives, args.mirror, args.any_checksum, args.keep, report
        )
    except (UserError, OSError, ValueError) as error:
        parser.refuse(error)


def report(line: str) -> None:
    print(line, flush=True)


def list_sources() -> None:
    """Print what there is."""
    for name, source in SOURCES.items():
        print(f'{name}: {source.title}. Licence: {source.licence}')
        for archive in source.archives:
            size = 'size not published' if archive.size is None else f'{archive.size / 1e9:.2f} GB'
            print(f'    {archive.name}, {size}, {archive.checksum}\n        {archive.url}')
        if not source.archives:
            print(f'    for a form: {source.by_hand}')


if __name__ == '__main__':
    main()
