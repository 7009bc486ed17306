"""Checks that are repeated: a few times by ``make test``, often by ``make reliability``.

A test with the mark ``reliability`` asks the fixture ``tally`` how often, and tells it what came of it. As
a program this writes the outcomes of a run into ``docs/reliability.md``:

    RSMAMBA_RELIABILITY=long RSMAMBA_RELIABILITY_DIR=FOLDER python -m pytest -m reliability
    python tests/reliability.py FOLDER
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

LEVELS = ('short', 'long', 'full')  # make test, make reliability, make reliability-full
DOCS = Path(__file__).parents[1] / 'docs'


class Tally:
    """How often a check is repeated, and what came of it.

    Args:
        name (str): Of the test, for its files.
    """

    def __init__(self, name: str) -> None:
        level = os.environ.get('RSMAMBA_RELIABILITY', 'short')
        assert level in LEVELS, f'RSMAMBA_RELIABILITY is one of {", ".join(LEVELS)}, not {level}'
        folder = os.environ.get('RSMAMBA_RELIABILITY_DIR')
        self.level = LEVELS.index(level)
        self.folder = Path(folder).resolve() if folder else None
        self.name = re.sub(r'\W+', '-', name.rpartition('::')[2]).strip('-')
        self.start = time.perf_counter()

    def times(self, short: int, long: int, full: int) -> int:
        """How often, at this level."""
        return (short, long, full)[self.level]

    def blocks(self, short: int, long: int, full: int) -> Iterator[int]:
        """Seeds of blocks of cases: those that an earlier call on the same folder has not finished."""
        path = self.folder and self.folder / f'{self.name}.blocks'
        done = set(map(int, path.read_text().split())) if path and path.is_file() else set()
        for seed in range(self.times(short, long, full)):
            if seed in done:
                continue
            yield seed
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open('a') as file:
                    print(seed, file=file)

    def record(self, part: str, what: str, times: int, outcome: str, lost: str = 'nothing') -> None:
        """A line of the table; only of a check that has held.

        Args:
            part (str): Its heading, such as ``'Kills'``.
            what (str): What was done, each time.
            times (int): How many times.
            outcome (str): What happened.
            lost (str): What was lost. Defaults to ``'nothing'``.
        """
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        seconds = round(time.perf_counter() - self.start)
        row = dict(part=part, what=what, times=times, outcome=outcome, lost=lost, seconds=seconds)
        (self.folder / f'{self.name}.json').write_text(json.dumps(row, indent=2))


def table(rows: list[dict]) -> str:
    """The rows as Markdown, by part and what was done."""
    lines = ['| | what was done | times | what happened | lost |', '|---|---|---|---|---|']
    last = None
    for row in sorted(rows, key=lambda row: (row['part'], row['what'])):
        part = '' if row['part'] == last else row['part']
        lines.append(f'| {part} | {row["what"]} | {row["times"]:,} | {row["outcome"]} | {row["lost"]} |')
        last = row['part']
    return '\n'.join(lines)


def main(folder: str) -> None:
    """Keep the outcomes of a run in ``docs/reliability.json``, and write the table."""
    kept = DOCS / 'reliability.json'
    rows = json.loads(kept.read_text()) if kept.is_file() else {}
    rows |= {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob('*.json'))}
    kept.write_text(json.dumps(rows, indent=2, sort_keys=True) + '\n')
    page = DOCS / 'reliability.md'
    before, rest = page.read_text().split('<!-- table -->\n', 1)
    _, after = rest.split('<!-- end -->', 1)
    page.write_text(f'{before}<!-- table -->\n{table(list(rows.values()))}\n<!-- end -->{after}')


if __name__ == '__main__':
    main(*sys.argv[1:])
