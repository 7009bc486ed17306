"""What the system tells of the processor."""

from __future__ import annotations

import platform
from pathlib import Path

PLACE = Path('/proc/cpuinfo')


def processor() -> dict[str, str]:
    """Fields of the first processor by their names in lower case, such as ``model name`` and ``flags`` (of
    Arm ``features``); none on systems other than Linux."""
    try:
        first = PLACE.read_text(encoding='utf-8').strip().split('\n\n')[0]
    except OSError:
        return {}
    fields = (line.partition(':') for line in first.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def processor_name() -> str:
    """What people call it."""
    return processor().get('model name') or platform.processor() or platform.machine()
