"""With how many threads to compute: as the machine grants, not as it has.

PyTorch takes a thread for each processor that it may run on, and does not know of a container's share of
them. Importing this module does not import PyTorch.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

CGROUPS = Path('/sys/fs/cgroup')


def usable_cores() -> int:
    """Processors that this process may use: by its affinity, and by the share that a container has."""
    return max(1, math.ceil(min(_affinity(), _share())))


def limit_threads() -> None:
    """Let PyTorch compute with at most :func:`usable_cores` threads, unless ``OMP_NUM_THREADS`` is set."""
    cores = usable_cores()
    if 'OMP_NUM_THREADS' in os.environ or cores >= _affinity():
        return
    os.environ['OMP_NUM_THREADS'] = str(cores)  # read when PyTorch is imported
    torch = sys.modules.get('torch')
    if torch is not None:
        torch.set_num_threads(min(cores, torch.get_num_threads()))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _share() -> float:
    """Processors' worth of time that the control groups grant, infinity where they set no limit.

    A group cannot have more than those above it. Within a container its own group is the root of what is
    seen, so the root is read too.
    """
    shares = [math.inf]
    for line in _read('/proc/self/cgroup').splitlines():
        _, controllers, group = line.split(':', 2)
        if controllers == '':  # version 2
            root, names = CGROUPS, ('cpu.max',)
        elif 'cpu' in controllers.split(','):
            root, names = CGROUPS / 'cpu', ('cpu.cfs_quota_us', 'cpu.cfs_period_us')
        else:
            continue
        here = root / group.lstrip('/')
        for folder in (here, *here.parents):
            words = ' '.join(_read(folder / name) for name in names).split()
            if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
                shares.append(int(words[0]) / int(words[1]))
            if folder == root:
                break
    return min(shares)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding='utf-8')
    except OSError:
        return ''
