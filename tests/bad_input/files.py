"""How good data are made, and bad ones put among them."""

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import DATASETS, TRANSFORMS
from PIL import Image

from rsmamba_mm.datasets import SceneFolder

SIDE = 16
CLASSES = ('forest', 'river', 'road')


@DATASETS.register_module()
class ThreeScenes(SceneFolder):
    """A data set that knows its classes."""

    METAINFO = dict(classes=CLASSES)


@TRANSFORMS.register_module()
class LoadOddImage(BaseTransform):
    """Hangs at, or dies of, an image whose name says so."""

    def transform(self, results):
        if results['img_path'].endswith('hangs.png'):
            while True:
                os.read(os.pipe()[0], 1)
        if results['img_path'].endswith('kills.png'):
            os._exit(1)
        return dict(results, img=np.zeros((SIDE, SIDE, 3), np.uint8))


@dataclass(frozen=True)
class Case:
    """A kind of bad data.

    Attributes:
        data (str): One of :data:`DATA`.
        write (Callable): Puts it into a folder with good data.
        says (str): Regular expression of what is said of it.
        early (bool): Whether a training stops at it by headers and lists alone. Defaults to True.
        options (dict, optional): Of the data set. Defaults to None.
        faults (int): How many there are of it. Defaults to 1.
    """

    data: str
    write: Callable[[Path], Any]
    says: str
    early: bool = True
    options: dict | None = None
    faults: int = 1


def pixels(index: int = 0) -> np.ndarray:
    """An image ``(16, 16, 3)`` of smooth colours in RGB: JPEG keeps it nearly as it is."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([60 + 4 * x, 90 + 4 * y + 20 * index, 200 - 3 * x + 0 * y], -1).astype(np.uint8)


def labels() -> np.ndarray:
    """A mask ``(16, 16)`` with three classes."""
    return (np.mgrid[:SIDE, :SIDE][0] * 3 // SIDE).astype(np.uint8)


def put(path: Path, image: Any = None, **options) -> Path:
    """Write an image in the format of the suffix, or of ``format``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels(7) if image is None else image
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def encoded(image: Any = None, kind: str = 'PNG', **options) -> bytes:
    """The bytes of an image."""
    buffer = io.BytesIO()
    image = pixels(7) if image is None else image
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], data: bytes = b'') -> bytes:
    """A PNG of any claims."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = [(b'IHDR', header), *chunks, (b'IDAT', zlib.compress(data)), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        for name, body in parts
    )


def damaged(data: bytes) -> bytes:
    """With a byte changed in the middle of the pixels."""
    place = data.index(b'IDAT') + 12
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


def raster(path: Path, bands: np.ndarray, **options) -> None:
    """A GeoTIFF of bands ``(N, H, W)``."""
    import warnings

    import rasterio

    settings = dict(driver='GTiff', count=len(bands), height=SIDE, width=SIDE, dtype=bands.dtype.name)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(path, 'w', **settings, **options) as file:
            file.write(bands)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def floats(value: float = 0.5, count: int = 3) -> np.ndarray:
    """Bands whose first pixel has a value."""
    bands = np.full((count, SIDE, SIDE), 0.25, np.float32)
    bands[:, 0, 0] = value
    return bands


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('a', 'b')
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels())
    return buffer.getvalue()


def good(folder: Path, data: str) -> None:
    """Good data, to which something bad is added."""
    for name in () if data in ('maps', 'names', 'colours') else CLASSES:
        for index in range(2):
            place = 3 * CLASSES.index(name) + index
            if 'bands' in data:
                bands = np.repeat(pixels(place).transpose(2, 0, 1), 2, 0)[:4]
                (folder / name).mkdir(exist_ok=True)
                raster(folder / name / f'{index}.tif', bands.astype(np.uint16))
            else:
                put(folder / name / f'{index}.png', np.roll(pixels(), place, 0))
    if data in ('maps', 'names', 'colours'):
        for index in range(2):
            put(folder / f'img/{index}.png', pixels(index))
            mask = COLOURS[labels()] if data == 'colours' else labels()
            put(folder / f'ann/{index}.png', mask)
    if data == 'list':
        lines = [f'{c}/{i}.png {k}' for k, c in enumerate(CLASSES) for i in range(2)]
        (folder / 'list.txt').write_text('\n'.join(lines) + '\n')
    if data == 'names':
        (folder / 'list.txt').write_text('0\n1\n')
    if data == 'json':
        write_json(folder, [f'{c}/{i}.png' for c in CLASSES for i in range(2)])


def write_json(folder: Path, names: list[Any]) -> None:
    data = [dict(img_path=name, gt_label=i // 2) for i, name in enumerate(names)]
    content = dict(metainfo=dict(classes=CLASSES), data_list=data)
    (folder / 'list.json').write_text(json.dumps(content))


COLOURS = np.array([[10, 20, 30], [200, 0, 0], [0, 90, 90]], np.uint8)
_SEGMENTS = dict(
    type='mmseg.BaseSegDataset',
    img_suffix='.png',
    data_prefix=dict(img_path='img', seg_map_path='ann'),
    metainfo=dict(classes=CLASSES, palette=COLOURS.tolist()),
)
_MASKS = [dict(type='mmcv.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
DATA: dict[str, dict] = {
    'scenes': dict(type='ThreeScenes', pipeline=[dict(type='LoadSceneImage')]),
    'opencv': dict(type='ThreeScenes', pipeline=[dict(type='mmcv.LoadImageFromFile')]),
    'scenes list': dict(type='ThreeScenes', pipeline=[dict(type='LoadSceneImage')], ann_file='list.txt'),
    'odd': dict(type='ThreeScenes', pipeline=[dict(type='LoadOddImage')]),
    'bands': dict(type='ThreeScenes', pipeline=[dict(type='LoadGeoImage', bands=[1, 2, 3, 4])]),
    'any bands': dict(type='ThreeScenes', pipeline=[dict(type='LoadGeoImage')]),
    'maps': dict(_SEGMENTS, pipeline=_MASKS),
    'names': dict(_SEGMENTS, pipeline=_MASKS, ann_file='list.txt'),
    'colours': dict(
        _SEGMENTS,
        pipeline=[_MASKS[0], dict(type='LoadPaletteAnnotations', palette=COLOURS.tolist(), ignore=[])],
    ),
    'list': dict(
        type='mmpretrain.CustomDataset',
        ann_file='list.txt',
        metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='LoadSceneImage')],
    ),
    'json': dict(
        type='mmpretrain.BaseDataset', ann_file='list.json', pipeline=[dict(type='LoadSceneImage')]
    ),
}


def scene(name: str, make: Callable[[], bytes]) -> Callable[[Path], Any]:
    return lambda f: (f / 'forest' / name).write_bytes(make())


def pair(image: Callable[[Path], Any] | None = None, mask: Callable[[Path], Any] | None = None):
    """A third image and mask, of which one is written otherwise."""

    def write(folder: Path) -> None:
        (image or put)(folder / 'img/bad.png')
        (mask or (lambda path: put(path, labels())))(folder / 'ann/bad.png')

    return write


def line(line: str | bytes, name: str = 'list.txt') -> Callable[[Path], Any]:
    """A line more in the list."""

    def write(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes() + (line if isinstance(line, bytes) else line.encode()) + b'\n')

    return write


def listed(text: str | bytes) -> Callable[[Path], Any]:
    """A list for a data set in folders."""
    data = text if isinstance(text, bytes) else text.encode()
    every = ''.join(f'{name}/{index}.png\n' for name in CLASSES for index in range(2)).encode()
    return lambda f: (f / 'list.txt').write_bytes(every + data)


def rewritten(text: str | bytes, name: str = 'list.txt') -> Callable[[Path], Any]:
    return lambda f: (f / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def link(place: str, target: str) -> Callable[[Path], Any]:
    return lambda f: (f / place).symlink_to(f / target if '/' in target else target)


def copied(old: str, new: str) -> Callable[[Path], Any]:
    return lambda f: (f / new).write_bytes((f / old).read_bytes())


def mask(image: Any, **options) -> Callable[[Path], Any]:
    return pair(mask=lambda path: put(path, image() if callable(image) else image, **options))


def content(make: Callable[[], bytes]) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(make())


def sixteen_bits(factor: int, grey: bool = False, kind: str = '.png') -> bytes:
    image = pixels().astype(np.uint16) * factor
    return cv2.imencode(kind, image[..., 0] if grey else image[..., ::-1])[1].tobytes()


LISTED = dict(ann_file='list.txt')
JPEG = dict(quality=95)


def every_line(folder: Path) -> bytes:
    return ''.join(f'{name}/{index}.png\n' for name in CLASSES for index in range(2)).encode()


def config(data: str, folder: Path, options: dict | None = None) -> dict:
    """The config of a data set in a folder."""
    return {**DATA[data], 'data_root': str(folder), **(options or {})}
