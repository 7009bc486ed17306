"""What a figure was made with: machine, versions and commit."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from ...paths import share
from ...processor import processor_name

PACKAGES = {
    'torch': ('torch',),
    'numpy': ('numpy',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv-lite', 'mmcv'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}
# not the READMEs of configs, whose tables each run writes anew
SOURCES = ('rsmamba_mm', 'tools', 'configs/*.py')


def describe_machine() -> str:
    """The processor and the threads, or the GPU, that this process computes with."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f'{processor_name()}, {threads} thread{"s" if threads > 1 else ""}'


def versions() -> dict[str, str]:
    """Of Python, this package and those that it computes with."""
    from ... import __version__

    found = dict(python=platform.python_version(), rsmamba_mm=__version__)
    for name, distributions in PACKAGES.items():
        for distribution in distributions:
            try:
                found[name] = version(distribution)
                break
            except PackageNotFoundError:
                continue
    return found


def commit() -> str:
    """The commit of the source tree, with ``-dirty`` where code, configs or tools differ from it."""
    head = _git('rev-parse', '--short=12', 'HEAD')
    if not head:
        return 'unknown'
    return f'{head}-dirty' if _git('status', '--porcelain', '--', *SOURCES) else head


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(['git', '-C', str(share()), *arguments], capture_output=True, text=True)
    except OSError:  # no git
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''
