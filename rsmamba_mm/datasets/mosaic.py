"""A mosaic of four samples at their own scale."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class NativeMosaic(BaseTransform):
    """Fill four quadrants with random crops of four samples, as UNetMamba (arXiv:2408.11545) is trained.

    The crops keep the scale of their images, and nothing is padded: the mosaic has no ignored pixels but
    those of its samples. mmseg's ``RandomMosaic`` scales the images to its canvas first and pads.

    The quadrants meet in a point drawn uniformly in the middle half of both sides. The upper left one is
    of the sample itself, the others are of samples drawn at random. An image smaller than its quadrant is
    enlarged, both sides alike, until it just covers it (bands bilinear, labels nearest).

    It belongs into the pipeline of mmseg's ``MultiImageMixDataset``, after the loading. Random numbers
    are of numpy's global state.

    Args:
        prob (float): How often it is applied. Defaults to 0.25.
        size (int | Sequence[int]): Height and width of the canvas in pixels. Defaults to (1024, 1024).

    Raises:
        ValueError: If ``prob`` is not in [0, 1], or ``size`` not one or two integers from 2; in a run, if
            there are no ``mix_results``, images differ in bands or type, or a mask does not fit its image.
    """

    def __init__(self, prob: float = 0.25, size: int | Sequence[int] = (1024, 1024)) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'NativeMosaic: prob is in [0, 1], got prob={prob}')
        sides = tuple(size) if isinstance(size, Sequence) else (size, size)
        if len(sides) != 2 or any(type(side) is not int or side < 2 for side in sides):
            raise ValueError(
                f'NativeMosaic: size is an integer from 2, or (height, width) of such, got size={size!r}'
            )
        self.prob, self.size = prob, sides

    def get_indices(self, dataset: Sized) -> list[int]:
        """Draw whether to mix, and three samples: none are loaded for a sample that stays alone."""
        if np.random.random() >= self.prob:
            return []
        return np.random.randint(0, len(dataset), 3).tolist()

    def transform(self, results: dict) -> dict:
        """Change ``img``, ``img_shape``, ``gt_seg_map`` and all ``seg_fields``.

        ``mix_results`` are the three other samples, or empty where the sample stays as it is.
        """
        if 'mix_results' not in results:
            raise ValueError(
                "NativeMosaic: no mix_results in the sample. It belongs into the pipeline of mmseg's "
                'MultiImageMixDataset, not into that of the data set itself'
            )
        if not results['mix_results']:
            return results
        samples = [results, *results['mix_results']]
        fields = dict.fromkeys(['gt_seg_map', *results.get('seg_fields', [])])
        masks = [key for key in fields if key in results]
        for sample in samples:
            _check(sample, results['img'], masks)
        height, width = self.size
        row, column = (np.random.randint(-(-side // 4), 3 * side // 4 + 1) for side in self.size)
        quadrants = [
            (slice(top, bottom), slice(left, right))
            for top, bottom in ((0, row), (row, height))
            for left, right in ((0, column), (column, width))
        ]
        canvases = {
            key: np.empty(self.size + results[key].shape[2:], results[key].dtype) for key in ('img', *masks)
        }
        for sample, place in zip(samples, quadrants, strict=True):
            crops = _random_crop(sample, masks, [side.stop - side.start for side in place])
            for key, crop in crops.items():
                canvases[key][place] = crop
        results.update(canvases, img_shape=self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, size={self.size})'


def resize_image(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resize ``(H, W)`` or ``(H, W, bands)``, any bands and type, to height and width, bilinearly."""
    # by band and in float64: OpenCV limits the number of bands and lacks some integer types
    bands = np.moveaxis(image.astype(np.float64).reshape(*image.shape[:2], -1), -1, 0)
    size = (int(shape[1]), int(shape[0]))
    resized = [cv2.resize(np.ascontiguousarray(b), size, interpolation=cv2.INTER_LINEAR) for b in bands]
    out = np.stack(resized, -1).reshape(*shape, *image.shape[2:])
    return (np.rint(out) if image.dtype.kind in 'iu' else out).astype(image.dtype)


def resize_labels(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resize ``(H, W)`` to height and width by the nearest pixel, in line with :func:`resize_image`."""
    # centres of pixels, which OpenCV's INTER_NEAREST does not take: labels would be half a pixel off
    new_to_old = zip(shape, labels.shape, strict=True)
    return labels[np.ix_(*((2 * np.arange(new) + 1) * old // (2 * new) for new, old in new_to_old))]


def _random_crop(sample: dict, masks: Sequence[str], shape: Sequence[int]) -> dict[str, np.ndarray]:
    """``img`` and masks of a random window, height and width given, of a sample."""
    arrays = {key: sample[key] for key in ('img', *masks)}
    sides = sample['img'].shape[:2]
    scale = max(new / old for new, old in zip(shape, sides, strict=True))
    if scale > 1:
        sides = [max(new, round(scale * old)) for new, old in zip(shape, sides, strict=True)]
        arrays = {
            key: (resize_image if key == 'img' else resize_labels)(array, sides)
            for key, array in arrays.items()
        }
    starts = [np.random.randint(0, old - new + 1) for new, old in zip(shape, sides, strict=True)]
    window = tuple(slice(start, start + new) for start, new in zip(starts, shape, strict=True))
    return {key: array[window] for key, array in arrays.items()}


def _check(sample: dict, first: np.ndarray, masks: Sequence[str]) -> None:
    """Refuse an image that cannot stand beside the first one, or a mask of another size."""
    image, path = sample['img'], sample.get('img_path', 'an image')
    if image.shape[2:] != first.shape[2:] or image.dtype != first.dtype:
        raise ValueError(
            f'NativeMosaic: {path} has {_kind(image)}, but the image to mix it with {_kind(first)}: '
            'load all alike, as LoadGeoImage(bands=[…]) does'
        )
    for key in masks:
        shape = None if sample.get(key) is None else sample[key].shape[:2]
        if shape != image.shape[:2]:
            raise ValueError(f'NativeMosaic: {path} is {image.shape[:2]}, but its {key} is {shape}')


def _kind(image: np.ndarray) -> str:
    return f'{1 if image.ndim == 2 else image.shape[2]} bands of {image.dtype}'
