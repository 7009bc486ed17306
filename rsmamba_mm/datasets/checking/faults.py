"""One thing that is wrong with data, and many of them in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import FaultyDataError

SHOWN = 20  # lines of an error


@dataclass(frozen=True)
class Fault:
    """Something that would end a training, or that it would learn from in silence.

    Attributes:
        path (str): The file, or the line of a list (``train.txt:3``).
        kind (str): What it is, in two or three words, such as ``'truncated'``.
        sentence (str): What is wrong with this one, and what to do.
        index (int, optional): The sample of the data set. Defaults to None, none or not only one.
        line (int, optional): The line of the list, from 1. Defaults to None.
    """

    path: str
    kind: str
    sentence: str
    index: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f'{self.path}: {self.kind}: {self.sentence}'


def grouped(faults: Sequence[Fault]) -> dict[str, list[Fault]]:
    """Faults by kind, the most frequent kind first."""
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def describe(faults: Sequence[Fault], what: str, shown: int = SHOWN) -> str:
    """How many faults there are, and the first ones.

    Args:
        faults (Sequence[Fault]): At least one.
        what (str): Where they are, such as ``'the training data'``.
        shown (int): How many to name. Defaults to 20.
    """
    counts = ', '.join(f'{len(group)} {kind}' for kind, group in grouped(faults).items())
    lines = [f'{len(faults)} faults in {what} ({counts}):' if len(faults) > 1 else f'a fault in {what}:']
    lines += [f'  {fault}' for fault in faults[:shown]]
    if len(faults) > shown:
        lines.append(f'  … and {len(faults) - shown} more')
    return '\n'.join(lines)


def refuse(faults: Sequence[Fault], what: str, advice: str = '') -> None:
    """Raise an error that names faults, if there are any.

    Raises:
        FaultyDataError: With the first 20 and their number.
    """
    if faults:
        raise FaultyDataError(describe(faults, what) + (f'\n{advice}' if advice else ''), faults)
