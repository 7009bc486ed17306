"""What a run keeps beside its checkpoints: a line for each epoch, and what it said of each image."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...visualization import write_table

LOG, FACTS, PREDICTIONS = 'log.csv', 'facts.json', 'predictions'
COLUMNS = {
    'epoch': int,
    'images_seen': int,
    'seconds': float,
    'loss': float,
    'held_out': float,
    'test': float,
}


def read_log(path: str | Path) -> list[dict]:
    """The lines of ``log.csv``, one for each epoch.

    Args:
        path (str | Path): The file.

    Returns:
        list[dict]: ``epoch``, ``images_seen`` and ``seconds`` up to its end, the mean training ``loss``,
        and the selecting figure in per cent of the parts ``held_out`` and ``test``, None of an epoch after
        which none was judged. None are there if there is no file.
    """
    if not Path(path).is_file():
        return []
    with open(path, newline='', encoding='utf-8') as file:
        return [
            {name: kind(row[name]) if row[name] else None for name, kind in COLUMNS.items()}
            for row in csv.DictReader(file)
        ]


class Journal:
    """The journal in a folder of work.

    Args:
        folder (str | Path): The folder; made when something is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.rows = read_log(self.folder / LOG)

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the run; empty before it began."""
        path = self.folder / FACTS
        return json.loads(path.read_text()) if path.is_file() else {}

    def add_facts(self, **facts: Any) -> None:
        """Keep what is known of the run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / FACTS, json.dumps({**self.facts, **facts}, indent=2) + '\n')

    def cut(self, epoch: int) -> None:
        """Forget what came after an epoch."""
        self.rows = [row for row in self.rows if row['epoch'] <= epoch]

    def add_epoch(self, epoch: int, images_seen: int, seconds: float, loss: float) -> None:
        """Keep an epoch that was trained in so many seconds."""
        before = self.rows[-1]['seconds'] if self.rows else 0
        row = dict(epoch=epoch, images_seen=images_seen, seconds=round(before + seconds, 1))
        self.rows.append({**row, 'loss': round(loss, 6), 'held_out': None, 'test': None})
        self._write()

    def judge(self, figures: Mapping[str, float], seconds: float, **judged: np.ndarray) -> None:
        """Keep what was said of the images after the last epoch, and then its figures in per cent."""
        row = self.rows[-1]
        path = self.predictions(row['epoch'])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, allow_pickle=False, **judged)
        row.update({part: round(figure, 4) for part, figure in figures.items()})
        row['seconds'] = round(row['seconds'] + seconds, 1)
        self._write()

    def predictions(self, epoch: int) -> Path:
        """The file of what was said of the images after an epoch."""
        return self.folder / PREDICTIONS / f'epoch_{epoch:03d}.npz'

    def _write(self) -> None:
        rows = [{name: '' if row[name] is None else row[name] for name in COLUMNS} for row in self.rows]
        write_table(rows, self.folder / f'{LOG}.part').replace(self.folder / LOG)


def select(rows: Sequence[dict], part: str) -> int:
    """The epoch with the highest figure on a part, the first of several.

    Args:
        rows (Sequence[dict]): Of :func:`read_log`.
        part (str): ``'held_out'``, or as the papers do ``'test'``.

    Returns:
        int: The epoch.
    """
    judged = [row for row in rows if row[part] is not None]
    return max(judged, key=lambda row: row[part])['epoch']


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f'{path.name}.part')
    part.write_text(text, encoding='utf-8')
    part.replace(path)
