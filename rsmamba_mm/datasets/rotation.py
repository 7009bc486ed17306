"""A part of each image is turned, and which patches are is told: RoMA's augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

SCORES = ('lbp', 'std', 'random')
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


@TRANSFORMS.register_module()
class AdaptiveRotation(BaseTransform):
    """Turn a square of an image that has much texture, by a random angle (RoMA, arXiv:2503.10392, Sec.
    3.2).

    Around the patch with the highest score the largest of the squares is taken whose patches have, in the
    mean, the score of the whole image, else the smallest. It is turned about its centre; what comes into
    its corners is its own content, mirrored. It is the last transform that changes the image.

    Args:
        sizes (Sequence[int]): Sides of the squares in pixels, multiples of the patch size. Defaults to
            ``(96, 64, 32)``.
        degrees (float): Largest angle, either way. Defaults to 45.
        score (str): Of a patch: ``'lbp'``, the entropy of its local binary patterns; ``'std'``, its
            standard deviation; ``'random'``. Defaults to ``'lbp'``.
        patch_size (int): Side of a patch in pixels, the encoder's stride. Defaults to 16.
        prob (float): How often it is applied. Defaults to 1.

    Raises:
        ValueError: If an option is not one of those listed; in a run, if patches do not divide an image, or
            no square fits in it.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (96, 64, 32),
        degrees: float = 45.0,
        score: str = 'lbp',
        patch_size: int = 16,
        prob: float = 1.0,
    ) -> None:
        if score not in SCORES:
            raise ValueError(
                f'AdaptiveRotation: unknown score {score!r}. Choose from: {", ".join(SCORES)}.'
            )
        if not isinstance(patch_size, int) or patch_size < 2:
            raise ValueError(f'AdaptiveRotation: patch_size is an integer from 2, got {patch_size!r}')
        if not sizes or any(not isinstance(s, int) or s < 1 or s % patch_size for s in sizes):
            raise ValueError(
                f'AdaptiveRotation: sizes are multiples of patch_size={patch_size}, got {sizes!r}'
            )
        if degrees < 0 or not 0 <= prob <= 1:
            raise ValueError(
                f'AdaptiveRotation: degrees is at least 0 and prob in [0, 1], got degrees={degrees}, '
                f'prob={prob}'
            )
        self.sizes, self.degrees, self.score = sorted(sizes, reverse=True), degrees, score
        self.patch_size, self.prob = patch_size, prob

    def transform(self, results: dict) -> dict:
        """Change ``img``, and add ``mask``, ``(h, w)`` bool: the patches that are turned."""
        image = results['img']
        sides = image.shape[:2]
        if any(side % self.patch_size for side in sides):
            raise ValueError(
                f'AdaptiveRotation: patches of {self.patch_size} px do not divide an image of {sides[0]} × '
                f'{sides[1]} px: crop it to multiples of that first'
            )
        height, width = (side // self.patch_size for side in sides)
        results['mask'] = mask = np.zeros((height, width), dtype=bool)
        if np.random.random() >= self.prob:
            return results
        scores = patch_scores(image, self.patch_size, self.score)
        top, left, span = self._choose(scores)
        mask[top : top + span, left : left + span] = True
        rows, columns = (
            slice(start * self.patch_size, (start + span) * self.patch_size) for start in (top, left)
        )
        turned = np.array(image)
        turned[rows, columns] = turn(
            image[rows, columns], float(np.random.uniform(-self.degrees, self.degrees))
        )
        results['img'] = turned
        return results

    def _choose(self, scores: np.ndarray) -> tuple[int, int, int]:
        """Row, column and side, in patches, of the square."""
        fitting = [size for size in self.sizes if size <= self.patch_size * min(scores.shape)]
        if not fitting:
            raise ValueError(
                f'AdaptiveRotation: a square of {self.sizes[-1]} px does not fit in an image of '
                f'{scores.shape[0]} × {scores.shape[1]} patches of {self.patch_size} px: set smaller sizes'
            )
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        found = 0, 0, 0
        for span in (size // self.patch_size for size in fitting):
            top, left = (
                int(np.clip(centre - span // 2, 0, side - span))
                for centre, side in ((row, scores.shape[0]), (column, scores.shape[1]))
            )
            found = top, left, span
            if scores[top : top + span, left : left + span].mean() >= scores.mean():
                break
        return found

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(sizes={self.sizes}, degrees={self.degrees}, score={self.score!r}, '
            f'patch_size={self.patch_size}, prob={self.prob})'
        )


def patch_scores(image: np.ndarray, patch_size: int, score: str = 'lbp') -> np.ndarray:
    """How much texture each patch has.

    Args:
        image (np.ndarray): ``(H, W)`` or ``(H, W, bands)``.
        patch_size (int): Side of a patch in pixels, which divides both sides.
        score (str): As of :class:`AdaptiveRotation`. Defaults to ``'lbp'``.

    Returns:
        np.ndarray: ``(H / patch_size, W / patch_size)``; of ``'lbp'`` the entropy in bits.
    """
    height, width = (side // patch_size for side in image.shape[:2])
    if score == 'random':
        return np.random.random((height, width))
    grey = np.float32(image if image.ndim == 2 else image.mean(2))
    if score == 'std':
        return _patches(grey, height, width).std(2)
    padded = np.pad(grey, 1, mode='edge')
    codes = np.zeros(grey.shape, dtype=np.int64)
    for bit, (down, right) in enumerate(_NEIGHBOURS):
        neighbour = padded[1 + down : 1 + down + len(grey), 1 + right : 1 + right + grey.shape[1]]
        codes |= (neighbour > grey).astype(np.int64) << bit
    codes = _patches(codes, height, width).reshape(height * width, -1)
    codes += 256 * np.arange(len(codes))[:, None]
    counts = np.bincount(codes.ravel(), minlength=256 * len(codes)).reshape(height, width, 256)
    shares = counts / patch_size**2
    return -(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares))).sum(2)


def turn(square: np.ndarray, degrees: float) -> np.ndarray:
    """A square ``(S, S)`` or ``(S, S, bands)``, turned about its centre, with itself mirrored in the
    corners."""
    side = len(square)
    centre = (side - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), degrees, 1.0)
    bands = square.reshape(side, side, -1)
    dtype = square.dtype if square.dtype in (np.uint8, np.uint16, np.int16) else np.float32
    turned = [
        cv2.warpAffine(
            np.ascontiguousarray(bands[..., band], dtype=dtype),
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for band in range(bands.shape[2])
    ]
    return np.stack(turned, -1).reshape(square.shape).astype(square.dtype)


def _patches(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """``(H, W)`` to ``(height, width, pixels)``."""
    patches = x.reshape(height, len(x) // height, width, -1).swapaxes(1, 2)
    return patches.reshape(height, width, -1)
