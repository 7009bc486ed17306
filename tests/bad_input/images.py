"""Images that are bad."""

import gzip
import os
import zlib

import numpy as np

from .files import (
    JPEG,
    SIDE,
    Case,
    array,
    copied,
    damaged,
    encoded,
    floats,
    link,
    png,
    put,
    raster,
    scene,
    sixteen_bits,
    zipped,
)


def unchanged(value: float, message: str) -> Case:
    """A raster of numbers of which one is no number, as OpenCV reads it with its own type."""
    pipeline = [dict(type='mmcv.LoadImageFromFile', color_type='unchanged')]
    return Case(
        'opencv',
        lambda f: raster(f / 'forest/bad.tif', floats(value)),
        message,
        False,
        dict(pipeline=pipeline),
    )


IMAGES: dict[str, Case] = {
    'empty': Case('scenes', scene('bad.jpg', lambda: b''), r'bad\.jpg: empty file: it has no bytes: fetch'),
    'zeros': Case('scenes', scene('bad.jpg', lambda: bytes(500)), 'no image: it is filled with zeros'),
    'text': Case('scenes', scene('bad.jpg', lambda: b'404: Not Found'), 'no image: it is a text: fetch'),
    'web page': Case('scenes', scene('bad.jpg', lambda: b'\n<!DOCTYPE html><p>'), 'it is a web page'),
    'XML': Case('scenes', scene('bad.png', lambda: b'<?xml version="1.0"?>'), 'it is an XML text'),
    'SVG': Case('scenes', scene('bad.png', lambda: b'<svg/>'), 'it is a drawing'),
    'PDF': Case('scenes', scene('bad.png', lambda: b'%PDF-1.4\n'), 'it is a PDF'),
    'zip': Case('scenes', scene('bad.png', zipped), 'it is a zip archive'),
    'gzip': Case('scenes', scene('bad.png', lambda: gzip.compress(b'a')), 'it is a gzip archive'),
    'NumPy': Case('scenes', scene('bad.png', array), 'it is a NumPy array'),
    'Git LFS': Case(
        'scenes', scene('bad.png', lambda: b'version https://git-lfs.github.com/spec/v1\n'), 'git lfs pull'
    ),
    'random bytes': Case(
        'scenes', scene('bad.png', lambda: bytes(range(1, 255))), 'no image that is known'
    ),
    'cut in the header': Case(
        'scenes', scene('bad.jpg', lambda: encoded(kind='JPEG')[:60]), 'broken header'
    ),
    'cut JPEG': Case(
        'scenes', scene('bad.jpg', lambda: encoded(kind='JPEG', **JPEG)[:-60]), 'truncated', False
    ),
    'cut PNG': Case('scenes', scene('bad.png', lambda: encoded()[:-40]), 'truncated', False),
    'cut TIFF': Case('scenes', scene('bad.bmp', lambda: encoded(kind='BMP')[:-90]), 'truncated', False),
    'cut WebP': Case('scenes', scene('bad.png', lambda: encoded(kind='WEBP')[:-40]), 'broken header'),
    'damaged PNG': Case(
        'scenes', scene('bad.png', lambda: damaged(encoded())), 'not decoded: it cannot be decoded', False
    ),
    'short PNG': Case('scenes', scene('bad.png', lambda: png(16, 16, data=bytes(99))), 'truncated', False),
    'zero width': Case('scenes', scene('bad.png', lambda: png(0, 16)), 'broken header'),
    'bomb': Case(
        'scenes',
        scene('bad.png', lambda: png(60000, 60000)),
        'bomb: its header claims 3600000000 pixels in',
    ),
    'bomb for OpenCV': Case('opencv', scene('bad.png', lambda: png(30000, 30000)), 'would fill the memory'),
    'bomb in a text': Case(
        'scenes',
        scene('bad.png', lambda: png(16, 16, (b'zTXt', b'a\0\0' + zlib.compress(bytes(2**22))))),
        'broken header',
    ),
    'folder': Case(
        'scenes', lambda f: (f / 'forest/bad.png').mkdir(), 'folder: it is a folder with the name'
    ),
    'pipe': Case('scenes', lambda f: os.mkfifo(f / 'forest/bad.png'), 'no file: it is a pipe'),
    'broken link': Case(
        'scenes', link('forest/bad.png', 'gone.png'), r'it is a link to gone\.png, which is not'
    ),
    'link loop': Case(
        'scenes', link('forest/bad.png', 'bad.png'), 'a link that leads to itself: remove it'
    ),
    '16 bits': Case(
        'scenes', scene('bad.png', lambda: sixteen_bits(257, grey=True)), '16-bit image: .*LoadGeoImage'
    ),
    '16-bit TIFF': Case(
        'scenes', scene('bad.tif', lambda: sixteen_bits(257, True, '.tif')), '16-bit image'
    ),
    '32 bits': Case(
        'scenes', lambda f: put(f / 'forest/bad.tif', np.ones((SIDE, SIDE), np.int32)), 'become white'
    ),
    '32 bits for OpenCV': Case(
        'opencv', lambda f: put(f / 'forest/bad.tif', np.ones((SIDE, SIDE), np.int32)), 'become white'
    ),
    'floats': Case('scenes', lambda f: put(f / 'forest/bad.tif', floats()[0]), 'float image: .*cuts off'),
    'floats for OpenCV': Case('opencv', lambda f: put(f / 'forest/bad.tif', floats()[0]), 'float image'),
    'colours as floats': Case('scenes', lambda f: raster(f / 'forest/bad.tif', floats()), 'broken header'),
    'five bands': Case(
        'scenes',
        lambda f: raster(f / 'forest/bad.tif', np.ones((5, SIDE, SIDE), np.uint8)),
        'broken header',
    ),
    'five bands for OpenCV': Case(
        'opencv',
        lambda f: raster(f / 'forest/bad.tif', np.ones((5, SIDE, SIDE), np.uint8)),
        'not decoded',
        False,
    ),
    '12 bits in 16': Case(
        'scenes', scene('bad.png', lambda: sixteen_bits(16)), '12-bit image: .*nearly black', False
    ),
    '12 bits, grey': Case(
        'opencv', scene('bad.png', lambda: sixteen_bits(16, True)), '12-bit image', False
    ),
    'cut JPEG, read in silence': Case(
        'opencv', scene('bad.jpg', lambda: encoded(kind='JPEG', **JPEG)[:-60]), 'truncated', False
    ),
    'text for OpenCV': Case('opencv', scene('bad.jpg', lambda: b'x'), 'no image: it is a text'),
    'NaN': unchanged(np.nan, 'not finite: .*become the loss'),
    'Inf': unchanged(np.inf, 'not finite'),
    'NaN alone': Case(
        'bands',
        lambda f: raster(f / 'forest/bad.tif', np.full((4, SIDE, SIDE), np.nan, np.float32)),
        'no data: not one of its pixels',
        False,
    ),
    'undeclared nodata': Case(
        'bands', lambda f: raster(f / 'forest/bad.tif', floats(-3.4e38, 4)), 'undeclared nodata', False
    ),
    'too few bands': Case(
        'bands',
        lambda f: raster(f / 'forest/bad.tif', floats()),
        'bands: has 3 bands, but band 4 is asked',
        False,
    ),
    'other bands': Case(
        'any bands',
        lambda f: raster(f / 'forest/bad.tif', floats()),
        'it has 3 bands, most images 4',
        False,
    ),
    'text as a raster': Case('bands', scene('bad.tif', lambda: b'x'), 'no image: it is a text'),
    'VRT as a raster': Case('bands', scene('bad.tif', lambda: b'<VRTDataset/>'), 'points to other files'),
    'cut raster': Case(
        'any bands', scene('bad.tif', lambda: encoded(kind='TIFF')[:-300]), 'truncated|not decoded', False
    ),
    'cut PNG as a raster': Case('any bands', scene('bad.tif', lambda: encoded()[:-40]), 'truncated', False),
    'two labels by a link': Case(
        'scenes', link('river/bad.png', 'forest/0.png'), 'two labels: it is the same file as .*forest/0'
    ),
    'two labels by a copy': Case(
        'scenes', copied('forest/0.png', 'river/bad.png'), 'two labels: it is the same image as', False
    ),
    'twice by a link': Case('scenes', link('forest/bad.png', 'forest/0.png'), 'twice: it is the same file'),
    'other suffix': Case(
        'scenes', scene('bad.webp', lambda: encoded(kind='WEBP')), '1 images with the suffix .webp'
    ),
    'class without images': Case(
        'scenes', lambda f: [p.unlink() for p in (f / 'road').iterdir()], "empty class: .*'road' "
    ),
    'hangs': Case('odd', lambda f: put(f / 'forest/hangs.png'), r'hangs: it was not read in 1 s', False),
    'kills': Case(
        'odd', lambda f: put(f / 'forest/kills.png'), 'kills: the process that decoded it died', False
    ),
    'classes that differ in case': Case(
        'scenes',
        lambda f: put(f / 'Forest/0.png'),
        "class names: 'Forest' and 'forest' are two",
        True,
        dict(type='SceneFolder'),
    ),
    'classes that differ in a space': Case(
        'scenes',
        lambda f: put(f / 'forest /0.png'),
        "class names: 'forest' and 'forest ' are two",
        True,
        dict(type='SceneFolder'),
    ),
}
