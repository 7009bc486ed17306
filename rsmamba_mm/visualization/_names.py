"""Names for what is written of each image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def unique_names(paths: Iterable[str | Path]) -> dict[str, str]:
    """A name without suffix for each image, none of them twice.

    Args:
        paths (Iterable[str | Path]): The images.

    Returns:
        dict[str, str]: Path to name: the stem; where two images have the same one, the path below the
        folder that is common to all, with ``/``; where these are alike too (``a.jpg``, ``a.png``), with
        suffix.
    """
    images = [Path(path) for path in dict.fromkeys(map(str, paths))]
    if not images:
        return {}
    common = os.path.commonpath([os.path.abspath(path.parent) for path in images])
    below = [Path(os.path.relpath(path, common)) for path in images]
    for names in (
        [path.stem for path in images],
        [path.with_suffix('').as_posix() for path in below],
        [path.as_posix() for path in below],
    ):
        if len(set(names)) == len(names):
            break
    return dict(zip(map(str, images), names, strict=True))
