"""What a machine and its environment are, and whether this package computes right on them.

    python -m rsmamba_mm.doctor [--json FILE]

It prints what to paste into an issue: versions, machine, settings and backends; then computes scans, a
training step and a checkpoint. The last lines are ``ok``, or what is to be mended and how. Nothing is sent
anywhere; the home folder is written ``~``. Importing it imports neither PyTorch nor OpenMMLab. The checks
are made in a process of their own, which may fail, hang or die.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputError, UserError
from .checks import examine_all
from .report import Section, as_json, conclusion

__all__ = ['Section', 'examine_all', 'main']


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``[--json FILE]``.

    Args:
        argv (Sequence[str], optional): The arguments. Defaults to None, those of the process.

    Returns:
        int: 0 if all is well, 1 if something is to be mended, 2 if the file cannot be written,
            130 if it was interrupted.
    """
    parser = argparse.ArgumentParser(
        prog='python -m rsmamba_mm.doctor',
        description='Say what this environment is and whether the package computes right in it.',
    )
    parser.add_argument('--json', metavar='FILE', help='write all of it there too, for machines')
    args = parser.parse_args(argv)
    try:
        return _report(args.json)
    except UserError as error:
        print(f'rsmamba_mm.doctor: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _report(file: str | None) -> int:
    start, sections = time.perf_counter(), []
    for section in examine_all():
        print(*section.lines(), '', sep='\n', flush=True)
        sections.append(section)
    findings = [finding for section in sections for finding in section.findings]
    print(f'({time.perf_counter() - start:.0f} s)', *conclusion(findings), sep='\n')
    if file is not None:
        try:
            Path(file).write_text(as_json(sections), encoding='utf-8')
        except OSError as error:
            raise OutputError(f'{file} cannot be written ({error.strerror}): name another file') from error
    return int(bool(findings))
