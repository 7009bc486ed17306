"""The checks in their order, and how one is made so that it never brings the others down."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from . import libraries, machine, self_check
from .report import REPORT, Section, Stop

LONGEST = 600.0  # seconds of a check; kernels may have to be compiled
INSTALL = 'install the package anew, with what it needs: pip install "rsmamba_mm[mm]"'
NOISE = 12  # lines kept of what libraries print


@dataclass(frozen=True)
class Check:
    """What is looked at.

    Attributes:
        function (Callable[[Section], None]): Tells of it.
        needs (tuple[str, ...]): Checks without which it is not tried. Defaults to none.
    """

    function: Callable[[Section], None]
    needs: tuple[str, ...] = ()


CHECKS = {
    'package': Check(machine.package),
    'machine': Check(machine.machine),
    'settings': Check(machine.settings),
    'PyTorch': Check(machine.pytorch),
    'OpenMMLab': Check(libraries.openmmlab, needs=('PyTorch',)),
    'requirements': Check(libraries.extras),
    'native backend': Check(self_check.native, needs=('PyTorch',)),
    'scan': Check(self_check.scans, needs=('PyTorch',)),
    'models': Check(self_check.models, needs=('OpenMMLab', 'scan')),
    'checkpoint': Check(self_check.checkpoint, needs=('OpenMMLab', 'scan')),
}


def examine(title: str, function: Callable[[Section], None]) -> Section:
    """Make one check in this process; whatever it raises is a finding."""
    section = Section(title)
    try:
        function(section)
    except Stop:
        section.usable = False
    except (Exception, SystemExit) as error:
        section.usable = False
        lacks = isinstance(error, ModuleNotFoundError)
        section.find(f'{_told(error)} ({_place(error)})', INSTALL if lacks else REPORT)
    return section


def _told(error: BaseException) -> str:
    lines = [line.rstrip() for line in str(error).strip().splitlines()]
    return f'{type(error).__name__}: ' + '\n'.join(lines[:6])


def _place(error: BaseException) -> str:
    """The line that has raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f'{frames[-1].filename}:{frames[-1].lineno}' if frames else 'no place'


def examine_all(checks: dict[str, Check] = CHECKS, longest: float = LONGEST) -> Iterator[Section]:
    """Make checks in a process that may die or hang without the report being lost.

    Args:
        checks (dict[str, Check]): By title. Defaults to all, :data:`CHECKS`.
        longest (float): Seconds that a check may take. Defaults to :data:`LONGEST`.

    Yields:
        Section: Of each check, as soon as it is made.
    """
    unusable: set[str] = set()
    worker: _Worker | None = None
    told = False
    try:
        for title, check in checks.items():
            if lacking := [need for need in check.needs if need in unusable]:
                section = Section(title, usable=False)
                section.say('not tried', f'it needs {" and ".join(lacking)}')
            else:
                try:
                    worker = worker or _Worker()
                except OSError as error:  # no room for temporary files, or for another process
                    section = examine(title, check.function)
                    if not told:
                        section.find(
                            f'no process could be started to make the checks in ({error}): one that dies '
                            'ends the report',
                            'see that there is room for temporary files, and for processes (ulimit -u)',
                        )
                    told = True
                else:
                    section = worker.examine(title, check.function, longest)
                    worker = worker.end() if worker.dead else worker
            if not section.usable:
                unusable.add(title)
            yield section
    finally:
        if worker is not None:
            worker.end()


class _Worker:
    """A process that makes checks; what it and its libraries print is kept in a file."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.printed = Path(self.folder.name, 'printed')
        self.dead = False
        context = multiprocessing.get_context('spawn')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, str(self.printed)), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def examine(self, title: str, function: Callable[[Section], None], longest: float) -> Section:
        section = Section(title, usable=False)
        try:
            self.pipe.send((title, function))
            if self.pipe.poll(longest):
                section = self.pipe.recv()
            else:
                self.dead = True
                section.find(f'it was not done after {longest:.0f} s, and was ended', REPORT)
        except (EOFError, OSError):
            self.dead = True
            self.process.join()
            section.find(f'the process died of it: {_ending(self.process.exitcode)}', REPORT)
        section.noise = self.new_lines()
        return section

    def new_lines(self) -> list[str]:
        """What was printed since the last call, its last lines."""
        if not self.printed.exists():
            return []
        lines = [line for line in self.printed.read_text(errors='replace').splitlines() if line.strip()]
        os.truncate(self.printed, 0)  # the process appends
        return lines[-NOISE:]

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.folder.cleanup()


def _serve(pipe: Connection, printed: str) -> None:
    """Make the checks that are asked for, until there is nobody to ask."""
    file = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    faulthandler.enable()
    logging.disable(logging.INFO)
    while True:
        try:
            title, function = pipe.recv()
        except EOFError:
            return
        section = examine(title, function)
        with suppress(OSError):  # a disk that is full
            sys.stdout.flush()
            sys.stderr.flush()
        pipe.send(section)


def _ending(code: int | None) -> str:
    """An exit code in words."""
    if code is None or code >= 0:
        return f'exit code {code}'
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f'signal {-code}'
    killed = ', which the system sends where memory is short' if name == 'SIGKILL' else ''
    return f'{name}{killed}'
