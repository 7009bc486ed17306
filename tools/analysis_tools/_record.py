"""What a check finds, on the disk as soon as it is found: a cut loses nothing, one error ends nothing else.

A record is a file of JSON lines. A fault of a GPU ends its use in the whole process, and some end the
process itself: a program started again with ``resume`` names the part in which the one before ended, and
goes on after it. ``tools/gpu_check.sh`` does so where one ends with :data:`DEVICE_LOST` or by a signal.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

DEVICE_LOST = 75  # exit status: the rest needs a new process


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a program with a record."""
    parser.add_argument('--record', type=Path, metavar='FILE', help='write each figure there at once')
    parser.add_argument(
        '--resume', action='store_true', help='go on after the part at which the last run of --record ended'
    )


class Record:
    """Figures of the parts of cases, such as a backend's on one input.

    Args:
        file (Path, optional): Where the lines go. Defaults to None: nowhere.
        resume (bool): Whether to go on with what the file holds. Defaults to False: it is begun anew.
    """

    def __init__(self, file: Path | None = None, resume: bool = False) -> None:
        self.file = file
        self.entries: list[dict] = []
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        if resume and file.exists():
            self.entries = read(file)
            text = file.read_text()
            if text and not text.endswith('\n'):  # a line that was cut
                file.write_text(text[: text.rfind('\n') + 1])
        else:
            file.write_text('')
        if self.entries and 'begun' in self.entries[-1]:
            last = self.entries[-1]
            self.fail(last['case'], last['begun'], 'the process ended in this part')

    def write(self, **entry) -> None:
        """Append a line."""
        self.entries.append(entry)
        if self.file is not None:
            with self.file.open('a') as opened:
                opened.write(json.dumps(entry) + '\n')

    def fail(self, case: str, part: str, reason: str) -> None:
        """Append that a part failed, and say so."""
        print(f'RED: {case}, {part}: {reason}', flush=True)
        self.write(case=case, part=part, error=reason)

    def ended(self, case: str, part: str) -> bool:
        """Whether a part has figures or an error."""
        return any(entry.get('case') == case and entry.get('part') == part for entry in self.entries)

    @property
    def failed(self) -> list[dict]:
        """The entries of parts that failed."""
        return [entry for entry in self.entries if 'error' in entry]

    def attempt(self, case: str, part: str, work: Callable[[], dict]) -> dict | None:
        """Do a part of a case, and write what it gives or how it failed.

        Args:
            case (str): Name of the case.
            part (str): Name of the part.
            work (Callable): Gives the part's figures.

        Returns:
            dict | None: The figures; None if it failed.

        Raises:
            SystemExit: With :data:`DEVICE_LOST`, if the GPU is of no use to this process any more.
        """
        self.write(case=case, begun=part)
        try:
            figures = work()
        except Exception as error:  # whatever it is, the next part should run all the same
            self.fail(case, part, in_words(error))
            if _is_lost():
                raise SystemExit(DEVICE_LOST) from None
            return None
        self.write(case=case, part=part, **figures)
        return figures


def read(file: Path) -> list[dict]:
    """The lines of a record, but for those that were cut."""
    entries = []
    for line in file.read_text(encoding='utf-8').splitlines():
        with suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def in_words(error: Exception) -> str:
    """An error in one line."""
    return f'{type(error).__name__}: {(str(error).strip() or "no message").splitlines()[0]}'


def _is_lost() -> bool:
    """Whether a fault has ended the use of the GPU in this process; if not, unused memory is given back."""
    if not torch.cuda.is_available():
        return False
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return True
    return False
