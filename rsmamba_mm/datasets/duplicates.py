"""Near-duplicate images, by perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

BITS = 64
#: of two random hashes so few bits differ once in 3.6 billion pairs
THRESHOLD = 8


def perceptual_hashes(images: Iterable[Image.Image]) -> np.ndarray:
    """Hash images so that few bits of near duplicates differ (pHash: their coarse structure).

    Other sizes, encodings, brightness and small changes keep the hash nearly as it is; flips, turns and
    shifts by more than a few per cent of the side do not.

    Args:
        images (Iterable[Image.Image]): Images of any size and mode.

    Returns:
        np.ndarray: ``(N, 64)``, bool.

    Raises:
        ImportError: If imagehash is not installed.
    """
    try:
        from imagehash import phash
    except ImportError:
        raise ImportError(
            'near duplicates are found through imagehash: pip install "rsmamba_mm[geo]"'
        ) from None
    hashes = [phash(image).hash.ravel() for image in images]
    return np.array(hashes, dtype=bool).reshape(-1, BITS)


def near_duplicates(
    first: np.ndarray, second: np.ndarray, threshold: int = THRESHOLD, block: int = 1024
) -> Iterator[tuple[int, int, int]]:
    """Pairs of images, one of each set, whose hashes differ in few bits.

    Args:
        first (np.ndarray): Hashes ``(N, 64)`` of :func:`perceptual_hashes`.
        second (np.ndarray): Hashes ``(M, 64)``.
        threshold (int): Bits that may differ. Defaults to 8.
        block (int): Rows of ``first`` that are compared at a time. Defaults to 1024.

    Yields:
        tuple[int, int, int]: Index in ``first``, index in ``second``, differing bits.
    """
    # of ±1 the product counts equal bits less differing ones: a matrix product gives all distances
    signs = [2 * np.asarray(hashes, dtype=np.float32) - 1 for hashes in (first, second)]
    for start in range(0, len(first), block):
        distances = (BITS - signs[0][start : start + block] @ signs[1].T) / 2
        for row, column in zip(*np.nonzero(distances <= threshold), strict=True):
            yield start + int(row), int(column), int(distances[row, column])
