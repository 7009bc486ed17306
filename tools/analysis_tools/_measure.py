"""What the benchmarks share: taking turns, memory in a process of its own, tables and records."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from rsmamba_mm.command_line import Parser
from rsmamba_mm.processor import processor_name

Step = Callable[[], None]


def make_parser(description: str) -> Parser:
    """The options of every benchmark."""
    parser = Parser(description=description)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')
    parser.add_argument('--serve', metavar='SIDE', help=argparse.SUPPRESS)
    return parser


class Figures(NamedTuple):
    """What was measured of each side."""

    seconds: dict[str, list[float]]  # of each step
    memory: dict[str, float]  # growth in the first step, in MB
    peak: dict[str, float]  # highest resident size in all steps, in MB


def interleave(sides: list[str], repeats: int, size: int | None = None) -> Figures:
    """Measure the sides, at one of several sizes if one is given.

    Each side runs in a process of its own (this program again, with ``--serve SIDE`` or ``--serve
    SIDE:SIZE``), so that none meets another's memory, caches or settings. They take turns, so that whatever
    else the machine does meets them all. ``SIDE@FOLDER`` is a side of another checkout, as of an older
    version: its program and its package.
    """
    processes = {side: _start(side, '' if size is None else f':{size}') for side in sides}
    figures = Figures({side: [] for side in sides}, {}, {})
    for side, process in processes.items():
        figures.memory[side], figures.peak[side] = _ask(process)
    for _ in range(repeats):
        for side, process in processes.items():
            seconds, figures.peak[side] = _ask(process)
            figures.seconds[side].append(seconds)
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return figures


def interleave_here(make_step: Callable[[str], Step], sides: list[str], repeats: int) -> dict:
    """Seconds of each side's steps, taking turns in this one process.

    A turn is two steps, the second of which is timed: the first finds caches and heap as another side left
    them.
    """
    steps = {side: make_step(side) for side in sides}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, step in steps.items():
            step()
            seconds[side].append(_timed(step))
    return seconds


def _timed(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def serve(step: Step) -> None:
    """The other end of :func:`interleave`: a figure and the peak so far for each line that is read."""
    for turn, _ in enumerate(sys.stdin):
        figure = _timed(step) if turn else memory_growth(step)
        print('FIGURE', figure, _resident('VmHWM') / 1024, flush=True)


def _start(side: str, size: str) -> subprocess.Popen:
    name, _, checkout = side.partition('@')
    program, environment = Path(sys.argv[0]), dict(os.environ)
    if checkout:
        program = Path(checkout, 'tools', 'analysis_tools', program.name)
        environment['PYTHONPATH'] = checkout
        if not program.exists():
            raise SystemExit(f'{side}: there is no {program}; after @ stands the folder of a checkout')
    command = [sys.executable, str(program), *sys.argv[1:], '--serve', f'{name}{size}']
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def _ask(process: subprocess.Popen) -> list[float]:
    process.stdin.write('\n')
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith('FIGURE'):
            return [float(word) for word in line.split()[1:]]
    raise SystemExit(f'{" ".join(process.args)} ended early; its error stands above')


def memory_growth(step: Step) -> float:
    """By how much a step raises the peak of the resident memory over its size before it, in MB."""
    Path('/proc/self/clear_refs').write_text(
        '5', encoding='utf-8'
    )  # the peak starts again from the present size
    before = _resident('VmRSS')
    step()
    return (_resident('VmHWM') - before) / 1024


def _resident(field: str) -> int:
    """A line of the process's status, in kB (Linux)."""
    lines = Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def table(
    seconds: dict[str, list[float]],
    reference: str,
    memory: dict[str, float] | None = None,
    peak: dict[str, float] | None = None,
) -> None:
    """Print median and spread of each side, its ratios to the reference side, and its peak."""
    base = statistics.median(seconds[reference])
    for name, runs in seconds.items():
        median = statistics.median(runs)
        line = f'  {name:34s} {median:10.4f} s  ({min(runs):.4f} … {max(runs):.4f})  {base / median:8.2f}×'
        if memory and name in memory:
            ratio = memory[reference] / max(memory[name], 1e-9)
            line += f'   {memory[name]:9.0f} MB  {ratio:6.1f}× less'
        if peak:
            line += f'   peak {peak[name]:.0f} MB'
        print(line, flush=True)


def describe_machine() -> dict:
    """The machine and the versions, for the record."""
    return dict(
        processor=processor_name(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
    )


def write_json(args: argparse.Namespace, **record) -> None:
    """The record of a run, with its options and the machine, if ``--json`` says where."""
    if args.json is None:
        return
    options = {name: value for name, value in vars(args).items() if name not in ('json', 'serve')}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    whole = dict(machine=describe_machine(), options=options, **record)
    args.json.write_text(json.dumps(whole, indent=2) + '\n')
    print(f'record: {args.json}')


def write_between(page: Path, start: str, end: str, text: str) -> None:
    """Write a text anew between two lines of a page."""
    before, rest = page.read_text(encoding='utf-8').split(start)
    page.write_text(f'{before}{start}{text}{end}{rest.split(end)[1]}', encoding='utf-8')
    print(f'{page} written')


def markdown(rows: list[list[str]]) -> str:
    """A table, whose first row are its headings."""
    lines = [rows[0], ['---'] * len(rows[0]), *rows[1:]]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines).replace(' --- ', '---')
