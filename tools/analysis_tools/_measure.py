"""What the benchmarks share: taking turns, memory in a process of its own, tables and records."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

Step = Callable[[], None]


def interleave(sides: list[str], repeats: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each side's steps and the memory growth of its first, in MB.

    Each side runs in a process of its own (this program again, with ``--serve SIDE``), so that none
    meets another's memory, caches or settings. They take turns, so that whatever else the machine does
    meets them all.
    """
    processes = {side: _start(side) for side in sides}
    memory = {side: _ask(process) for side, process in processes.items()}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, process in processes.items():
            seconds[side].append(_ask(process))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return seconds, memory


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
    """The other end of :func:`interleave`: a figure for each line that is read."""
    for turn, _ in enumerate(sys.stdin):
        print('FIGURE', _timed(step) if turn else memory_growth(step), flush=True)


def _start(side: str) -> subprocess.Popen:
    command = [sys.executable, *sys.argv, '--serve', side]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen) -> float:
    process.stdin.write('\n')
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith('FIGURE'):
            return float(line.split()[1])
    raise SystemExit(f'{" ".join(process.args)} ended early; its error stands above')


def memory_growth(step: Step) -> float:
    """By how much a step raises the peak of the resident memory over its size before it, in MB."""
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts again from the present size
    before = _resident('VmRSS')
    step()
    return (_resident('VmHWM') - before) / 1024


def _resident(field: str) -> int:
    """A line of the process's status, in kB (Linux)."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def table(seconds: dict[str, list[float]], reference: str, memory: dict[str, float] | None = None) -> None:
    """Print median and spread of each side, and its ratios to the reference side."""
    base = statistics.median(seconds[reference])
    for name, runs in seconds.items():
        median = statistics.median(runs)
        line = f'  {name:34s} {median:10.4f} s  ({min(runs):.4f} … {max(runs):.4f})  {base / median:8.2f}×'
        if memory and name in memory:
            ratio = memory[reference] / max(memory[name], 1e-9)
            line += f'   {memory[name]:9.0f} MB  {ratio:6.1f}× less'
        print(line, flush=True)


def describe_machine() -> dict:
    """The machine and the versions, for the record."""
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    models = {line.split(':')[1].strip() for line in lines if line.startswith('model name')}
    return dict(
        processor=', '.join(sorted(models)) or platform.processor(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
    )


def write_json(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(machine=describe_machine(), **record), indent=2) + '\n')
    print(f'record: {path}')
