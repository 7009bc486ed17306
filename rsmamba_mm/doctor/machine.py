"""The package, the machine and what the environment sets; of PyTorch no more than that it is there."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path

from ..paths import PACKAGE
from ..processor import processor, processor_name
from ..threads import usable_cores
from ..version import __version__
from .report import Section

GIB = 2**30
LEAST_SHARED = 1 * GIB  # containers have 64 MB by default
LEAST_FILES = 1024
LEAST_DISK = 1 * GIB
FEATURES = ('avx2', 'fma', 'avx512f', 'avx512bw', 'avx512_bf16', 'amx_tile', 'asimd', 'sve')

# what the package reads, and its tests
OWN = (
    'RSMAMBA_ALLOW_PICKLE',
    'RSMAMBA_CACHE_DIR',
    'RSMAMBA_DATA',
    'RSMAMBA_MAMBA_HUB',
    'RSMAMBA_RELIABILITY',
    'RSMAMBA_RELIABILITY_DIR',
    'RSMAMBA_SCAN_BACKEND',
)
# of others, what changes speed or results here
OTHERS = (
    'CUDA_VISIBLE_DEVICES',
    'CUDA_LAUNCH_BLOCKING',
    'CXX',
    'KMP_AFFINITY',
    'LD_PRELOAD',
    'MKL_NUM_THREADS',
    'OMP_NUM_THREADS',
    'OMP_WAIT_POLICY',
    'PYTHONPATH',
    'PYTORCH_CUDA_ALLOC_CONF',
    'TORCHDYNAMO_DISABLE',
    'TRITON_INTERPRET',
)


def package(section: Section) -> None:
    """Which rsmamba_mm is imported."""
    section.say('rsmamba_mm', __version__)
    section.say('folder', PACKAGE)
    if (PACKAGE.parent / '.git').exists():
        section.say('commit', _commit(PACKAGE.parent))
    try:
        installed = metadata.version('rsmamba_mm')
    except metadata.PackageNotFoundError:
        section.say('installed', 'no: it is imported from its folder')
        return
    section.say('installed', installed)
    if installed != __version__:
        section.find(
            f'version {installed} is installed and version {__version__} is imported, from {PACKAGE}',
            'install it anew, or do not let the current folder or PYTHONPATH hide the installed one',
        )


def _commit(tree: Path) -> str:
    """The commit of a source tree, with ``-dirty`` where files were changed."""
    command = ['git', '-C', str(tree), 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'unknown: {error}'
    if result.returncode:
        return f'unknown: {(result.stderr.strip().splitlines() or ["git says nothing"])[0]}'
    return result.stdout.strip()


def machine(section: Section) -> None:
    """System, Python, processor, memory and what limits them."""
    section.say('system', platform.platform())
    section.say('Python', f'{platform.python_version()} ({platform.python_implementation()})')
    section.say('environment', f'{sys.prefix}{" (conda)" if os.environ.get("CONDA_PREFIX") else ""}')
    told = processor()
    has = set(f'{told.get("flags", "")} {told.get("features", "")}'.split())
    features = ' '.join(name for name in FEATURES if name in has)
    section.say('processor', f'{processor_name()}{f" ({features})" if features else ""}')
    section.say('cores', f'{usable_cores()} of {os.cpu_count()} may be used')
    section.say('memory', _memory())
    _shared_memory(section)
    _open_files(section)
    disk(section, 'temporary files', Path(tempfile.gettempdir()))


def _memory() -> str:
    table = dict(re.findall(r'^(\w+):\s+(\d+) kB', _read('/proc/meminfo'), re.MULTILINE))
    if 'MemTotal' not in table:
        return 'unknown'
    total, free = (int(table.get(name, 0)) * 1024 / GIB for name in ('MemTotal', 'MemAvailable'))
    limit = _read('/sys/fs/cgroup/memory.max')
    limited = f', limited to {int(limit) / GIB:.1f} GiB' if limit.isdigit() else ''
    return f'{total:.1f} GiB, {free:.1f} GiB free{limited}'


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding='utf-8').strip()
    except OSError:
        return ''


def _shared_memory(section: Section, folder: str = '/dev/shm') -> None:
    if not Path(folder).is_dir():
        return
    usage = shutil.disk_usage(folder)
    section.say('shared memory', f'{usage.total / GIB:.2f} GiB, {usage.free / GIB:.2f} GiB free')
    if usage.total < LEAST_SHARED:
        section.find(
            f'{folder} holds {usage.total / 2**20:.0f} MiB: data loaders pass images through it from '
            'their workers, which are killed by a "bus error" where it is full',
            'start the container with --shm-size=8g or --ipc=host; or load without workers: '
            '--cfg-options train_dataloader.num_workers=0 train_dataloader.persistent_workers=False',
        )


def _open_files(section: Section) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    said = ['unlimited' if limit == unlimited else str(limit) for limit in (soft, hard)]
    section.say('open files', f'{said[0]}, at most {said[1]}')
    if soft != unlimited and soft < LEAST_FILES:
        section.find(
            f'a process may open {soft} files: data loaders with several workers need more',
            'ulimit -n 4096, in the shell that starts the training',
        )


def disk(section: Section, name: str, folder: Path) -> None:
    """The room that is left where a folder is, or will be."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    section.say(name, f'{folder}, {free / GIB:.1f} GiB free')
    if free < LEAST_DISK:
        section.find(f'{folder} has {free / 2**20:.0f} MiB left', 'make room there')


def settings(section: Section) -> None:
    """Variables of the environment."""
    for name in (*OWN, *OTHERS):
        if name in os.environ:
            section.say(name, _setting(name, os.environ[name]))
    if not section.facts:
        section.say('variables', 'none is set')
    for name in sorted(os.environ):
        if name.startswith('RSMAMBA_') and name not in OWN:
            meant = get_close_matches(name, OWN, n=1) or OWN
            section.find(
                f'the variable {name} is set, and nothing reads it', f'is {" or ".join(meant)} meant?'
            )
    data = os.environ.get('RSMAMBA_DATA')
    if data and not Path(data).is_dir():
        section.find(
            'the variable RSMAMBA_DATA names no folder',
            'let it name the one that holds the data sets, or unset it: then that is data',
        )


def _setting(name: str, value: str) -> str:
    if name == 'RSMAMBA_DATA':  # where somebody keeps data is nobody's business
        return 'a folder' if Path(value).is_dir() else 'no folder'
    if name == 'RSMAMBA_ALLOW_PICKLE':
        return f'{value} (docs/security.md: then a checkpoint may run code)'
    return value


def pytorch(section: Section) -> None:
    """PyTorch, its threads and its devices."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != 'torch':
            raise
        section.stop('PyTorch is not installed', 'https://pytorch.org/get-started/locally says how to')
    except (ImportError, OSError) as error:
        section.stop(
            f'PyTorch cannot be imported: {first_line(error)}',
            'install it anew: https://pytorch.org/get-started/locally says how to',
        )
    from ..ops.backends import nvidia

    cuda, hip = torch.version.cuda, torch.version.hip
    build = f'CUDA {cuda}' if cuda else f'ROCm {hip}' if hip else 'the CPU'
    section.say('torch', f'{torch.__version__}, built for {build}')
    section.say('capability', torch.backends.cpu.get_cpu_capability())
    if release(torch.__version__) < (2, 4):
        section.find(f'PyTorch {torch.__version__} is older than 2.4', 'pip install "torch>=2.4"')
    if release(torch.__version__) < (2, 10):
        section.say('loader', 'before 2.10 it is not safe with checkpoints of strangers: docs/security.md')
    threads, cores = torch.get_num_threads(), usable_cores()
    section.say('threads', threads)
    if threads > cores:
        section.find(
            f'PyTorch computes with {threads} threads on {cores} core{"s" * (cores > 1)}, which is slow',
            f'export OMP_NUM_THREADS={cores}',
        )
    with warnings.catch_warnings(record=True) as caught:  # of a driver that is too old, and the like
        warnings.simplefilter('always')
        reason = nvidia.no_device()
    for each in caught:
        section.find(f'PyTorch warns of its GPUs: {first_line(each.message)}', reason or '')
    if reason is not None:
        section.say('GPU', 'none')
        if not caught and Path('/proc/driver/nvidia/version').exists():
            section.find("NVIDIA's driver is here, and PyTorch sees no GPU", reason)
        return
    section.say('driver', nvidia.driver())
    for index in range(torch.cuda.device_count()):
        _gpu(section, index)


def _gpu(section: Section, index: int) -> None:
    import torch

    told = torch.cuda.get_device_properties(index)
    capability = f'{told.major}.{told.minor}'
    section.say(f'GPU {index}', f'{told.name}, capability {capability}, {told.total_memory / GIB:.0f} GiB')
    try:
        product = torch.ones(64, 64, device=f'cuda:{index}') @ torch.ones(64, 64, device=f'cuda:{index}')
        right = product.sum().item() == 64**3
    except RuntimeError as error:
        section.find(
            f'GPU {index} ({told.name}, capability {capability}) does not compute: {first_line(error)}',
            f'this build is for {", ".join(torch.cuda.get_arch_list())}; another process may use the GPU',
        )
    else:
        if not right:
            section.find(f'GPU {index} ({told.name}) computes a wrong product', 'do not use it')


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(map(int, re.findall(r'\d+', version)[:2]))


def first_line(error: BaseException | str) -> str:
    """Of a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
