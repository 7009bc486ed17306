"""The folder of what is made once for a machine: the native library, and that kernels were found right."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = 'RSMAMBA_CACHE_DIR'


def cache_folder() -> Path:
    """``$RSMAMBA_CACHE_DIR``, else ``rsmamba_mm`` in the user's cache folder."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'rsmamba_mm'
