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


def interleave(steps: dict[str, Step], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side's runs: one warm-up each, then all sides in turns, so that whatever else the
    machine does meets them all."""
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return seconds


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


def memory_in_own_process(side: str) -> float:
    """Memory growth of one side: this program again, with ``--memory SIDE``."""
    command = [sys.executable, *sys.argv, '--memory', side]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f'measuring the memory of {side} failed:\n{result.stderr[-2000:]}')
    return float(result.stdout.split()[-1])


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
