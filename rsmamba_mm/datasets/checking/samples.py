"""One sample: its files, their headers, and what the pipeline makes of them."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from PIL import Image

from .headers import AGAIN, Header, Said, file_fault, read_header

_HUGE = 1e30  # beyond every measured value: a nodata value that the file does not declare
_DARK = 16  # what 12-bit values become in 8 of 16 bits
_WHOLE = ('JPEG', 'MPO', 'PNG', 'BMP', 'GIF', 'WEBP')  # formats that Pillow decodes all of
_COLOURS = ('RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr', 'LA', 'PA', 'La', 'RGBa', 'LAB', 'HSV')


@dataclass
class Seen:
    """What was seen of a sample.

    Attributes:
        faults (list[tuple[str, str, str]]): Path, kind and sentence of each fault.
        file (tuple[int, int], optional): Identity of the image's file, whatever its names.
        digest (bytes, optional): Of the bytes of the image, if it was decoded.
        bands (int, optional): Of the image, if it was decoded.
        labels (dict[int, int]): Labels of the mask, and how many pixels have each.
    """

    faults: list[tuple[str, str, str]] = field(default_factory=list)
    file: tuple[int, int] | None = None
    digest: bytes | None = None
    bands: int | None = None
    labels: dict[int, int] = field(default_factory=dict)


class SampleChecker:
    """Check samples of a data set as its pipeline loads them.

    Args:
        transforms (Sequence): The loading transforms of the pipeline.
        classes (int, optional): Number of classes, of masks. Defaults to None, any.
        ignore (int): Label of ignored pixels. Defaults to 255.
    """

    def __init__(self, transforms: Sequence[Any], classes: int | None = None, ignore: int = 255) -> None:
        self.transforms, self.classes, self.ignore = list(transforms), classes, ignore
        image = next((t for t in self.transforms if 'Image' in type(t).__name__), None)
        mask = next((t for t in self.transforms if 'Annotations' in type(t).__name__), None)
        self.library = _library(image)
        self.clips = getattr(image, 'color_type', None) in ('color', 'grayscale')  # to 8 bits
        self.mask_library = _library(mask)
        self.indexed = mask is not None and hasattr(mask, 'reduce_zero_label')  # pixels are labels

    def check(self, sample: dict, decode: bool = False) -> Seen:
        """What is wrong with a sample.

        Args:
            sample (dict): ``img_path`` and, of a segmenter, ``seg_map_path``.
            decode (bool): Whether to decode its files too. Defaults to False.
        """
        seen, headers = Seen(), {}
        for key, library in (('img_path', self.library), ('seg_map_path', self.mask_library)):
            path = sample.get(key)
            if not isinstance(path, str | os.PathLike) or '://' in str(path):
                continue
            path = str(path)
            found = file_fault(path) or read_header(path, library)
            if isinstance(found, Header):
                headers[key] = found
                fault = self._mask_fault(found) if key == 'seg_map_path' else self._image_fault(found)
                found = fault
            if found is not None:
                seen.faults.append((path, *found))
        image, mask = headers.get('img_path'), headers.get('seg_map_path')
        if image is not None:
            status = os.stat(sample['img_path'])
            seen.file = (status.st_dev, status.st_ino)
        if image is not None and mask is not None and (fault := self._pair_fault(image, mask)):
            seen.faults.append((str(sample['seg_map_path']), *fault))
        if decode and not seen.faults:
            self._decode(sample, headers, seen)
        return seen

    def _image_fault(self, header: Header) -> Said | None:
        """What the pipeline would read wrong."""
        if not self.clips or not header.mode.startswith(('I', 'F')):
            return None
        if header.mode.startswith('F'):
            return 'float image', (
                'its values are floats, which this pipeline of 8-bit images cuts off: load it by '
                'LoadGeoImage, or convert it to 8 bits'
            )
        if self.library == 'pillow' or header.mode == 'I':
            return '16-bit image', (
                'its values above 255 would all become white: load it by LoadGeoImage, or convert it to '
                '8 bits'
            )
        return None

    def _mask_fault(self, header: Header) -> Said | None:
        if header.format in ('JPEG', 'MPO'):
            return 'lossy mask', 'a JPEG blurs the borders of classes: write the mask as PNG'
        if self.indexed and header.mode in _COLOURS:
            return 'colour mask', (
                f'it has colours ({header.mode}), where LoadAnnotations takes pixel values for classes: '
                'load it by LoadPaletteAnnotations(palette=…)'
            )
        return None

    def _pair_fault(self, image: Header, mask: Header) -> Said | None:
        turned = self.library in ('cv2', 'pillow') and image.orientation > 1
        if turned:
            return 'turned image', (
                f'its image is turned as it is read (EXIF orientation {image.orientation}), the mask is '
                'not: turn the pixels, and remove the tag'
            )
        size = image.upright if self.library in ('cv2', 'pillow') else image.size
        if 0 not in (*size, *mask.size) and size != mask.size:
            return _other_size(size, mask.size)
        return None

    def _decode(self, sample: dict, headers: dict[str, Header], seen: Seen) -> None:
        path, mask_path = sample.get('img_path'), sample.get('seg_map_path')
        results = copy.deepcopy(sample)
        for transform in self.transforms:
            of_mask = 'Annotations' in type(transform).__name__
            at = str(mask_path if of_mask and mask_path else path)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore')
                    results = transform(results)
            except MemoryError:
                seen.faults.append((at, 'bomb', 'decoding it fills the memory: cut it into tiles'))
                return
            except Exception as error:  # whatever its library raises
                seen.faults.append((at, *_not_decoded(error, at)))
                return
            if results is None:
                seen.faults.append((at, 'not decoded', f'the pipeline passes over it: {AGAIN}'))
                return
        image, mask = results.get('img'), results.get('gt_seg_map')
        for key, header in headers.items():
            if header.format in _WHOLE and (fault := _cut(str(sample[key]))):
                seen.faults.append((str(sample[key]), *fault))
                return
        if image is not None:
            with open(path, 'rb') as file:  # type: ignore[arg-type]
                seen.digest = blake2b(file.read(), digest_size=16).digest()
            seen.bands = 1 if image.ndim == 2 else image.shape[2]
            if fault := self._values_fault(image, str(path)):
                seen.faults.append((str(path), *fault))
        if mask is not None:
            self._check_mask(str(mask_path), mask, image, headers.get('seg_map_path'), seen)

    def _values_fault(self, image: np.ndarray, path: str) -> Said | None:
        if image.dtype.kind == 'f':
            if not np.isfinite(image).all():
                return 'not finite', (
                    'it has NaN or infinite values, which become the loss: load it by LoadGeoImage, which '
                    'fills them, or fill them'
                )
            if (np.abs(image) > _HUGE).any():
                return 'undeclared nodata', (
                    'it has values beyond 1e30, a nodata value that its header does not declare: '
                    'gdal_edit.py -a_nodata VALUE FILE'
                )
            fill = next((t.fill for t in self.transforms if hasattr(t, 'fill')), None)
            if fill is not None and (image == fill).all():
                return 'no data', 'not one of its pixels has data: leave it out'
        elif self.clips and image.size and image.max() < _DARK and _bits(path) > 8:
            return '12-bit image', (
                'of its 16 bits only the lower 12 are used, and 8-bit loading makes it nearly black: load '
                'it by LoadGeoImage, or convert it to 8 bits'
            )
        return None

    def _check_mask(
        self, path: str, mask: np.ndarray, image: np.ndarray | None, header: Header | None, seen: Seen
    ) -> None:
        if image is not None and mask.shape[:2] != image.shape[:2]:
            seen.faults.append((path, *_other_size(image.shape[:2], mask.shape[:2])))
            return
        if self.indexed and header is not None and header.mode[:1] in ('I', 'F'):
            with Image.open(path) as file:
                raw = np.asarray(file)
            with np.errstate(invalid='ignore'):
                kept = np.isfinite(raw) & (raw >= 0) & (raw <= 255) & (raw == np.floor(raw))
            if not kept.all():
                seen.faults.append(
                    (path, 'label out of range', f'it has the value {raw[~kept][0]}, and labels are '
                     'integers from 0 to 255, of which others are changed in silence: write them so')
                )  # fmt: skip
                return
        values, counts = np.unique(mask, return_counts=True)
        seen.labels = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if self.classes is None:
            return
        wrong = [label for label in seen.labels if label != self.ignore and not 0 <= label < self.classes]
        if wrong:
            seen.faults.append(
                (path, 'label out of range', f'it has the labels {_some(wrong)}, but there are '
                 f'{self.classes} classes from 0, and {self.ignore} to ignore: mend the mask, or the '
                 'classes (reduce_zero_label, metainfo)')
            )  # fmt: skip
        elif set(seen.labels) == {self.ignore}:
            seen.faults.append(
                (path, 'all ignored', f'each pixel is {self.ignore}, to be ignored: leave it out, or mend '
                 'its labels')
            )  # fmt: skip


def loading(dataset: Any) -> list[Any]:
    """The transforms of a data set that load files."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    return [t for t in transforms if type(t).__name__.startswith('Load')]


def _library(transform: Any) -> str:
    """What reads the files of a loading transform."""
    if transform is None:
        return 'any'
    if type(transform).__name__ == 'LoadGeoImage':
        return 'raster'
    if hasattr(transform, 'codes'):  # LoadPaletteAnnotations
        return 'pillow'
    return getattr(transform, 'imdecode_backend', None) or 'any'


def _not_decoded(error: Exception, path: str) -> Said:
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0].removeprefix(f'{path}: ')[:200]
    if 'colour that is no class' in reason:
        return 'unknown colour', reason
    if 'band' in reason and 'asked for' in reason:
        return 'bands', reason.removeprefix(f'{path} ')
    if 'truncated' in reason.lower() or ((cut := _cut(path)) and cut[0] == 'truncated'):
        return 'truncated', f'its end is missing: {AGAIN}'
    return 'not decoded', f'it cannot be decoded ({reason}): {AGAIN}'


def _cut(path: str) -> Said | None:
    """Whether a file ends too soon, or is damaged: OpenCV and GDAL take what is there for the image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as image:
                image.load()
    except Image.UnidentifiedImageError:
        return None
    except Exception as error:  # Pillow raises many kinds on broken files
        if 'truncated' in str(error).lower():
            return 'truncated', f'its end is missing, and what is read of it is no error: {AGAIN}'
        return 'damaged', f'its bytes are damaged ({str(error).splitlines()[0][:100]}): {AGAIN}'
    return None


def _bits(path: str) -> int:
    import cv2

    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    return 8 if image is None else 8 * image.dtype.itemsize


def _other_size(image: Sequence[int], mask: Sequence[int]) -> Said:
    return 'mask of another size', (
        f'it is {mask[0]} × {mask[1]} px (height × width), its image {image[0]} × {image[1]}: make them '
        'one size'
    )


def _some(values: Sequence[Any], most: int = 5) -> str:
    return ', '.join(map(str, values[:most])) + (', …' if len(values) > most else '')
