"""Errors whose message is for the person at the command line: the tools print them without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class UserError(Exception):
    """Something that the user gave cannot be served; the message says what, and what to do."""


class OptionError(UserError, ValueError):
    """An option of a command line or a config."""


class MissingDataError(UserError, FileNotFoundError):
    """Data that is not where it should be."""


class DownloadError(UserError, OSError):
    """Data that cannot be fetched or unpacked."""


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that is not of the model that it is loaded into."""


class MissingExtraError(UserError, ImportError):
    """A library of an extra that is not installed."""


class OutputError(UserError, OSError):
    """A result that cannot be written."""


class TrainingError(UserError, RuntimeError):
    """A training that cannot go on."""


class FaultyDataError(MissingDataError, ValueError):
    """Data of which something cannot be used.

    Attributes:
        faults (list): All of it, as :class:`rsmamba_mm.datasets.checking.Fault`.
    """

    def __init__(self, message: str, faults: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults)
