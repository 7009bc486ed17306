"""Tables beside pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def write_table(rows: Sequence[dict], out: str | Path) -> Path:
    """Write rows as comma-separated values.

    Args:
        rows (Sequence[dict]): At least one; the keys of the first are the columns.
        out (str | Path): The file; its folder is made.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there is no row.
    """
    if not rows:
        raise ValueError(f'{out}: there is nothing to write')
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    return out
