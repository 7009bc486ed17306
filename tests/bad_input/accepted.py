"""What is read right, odd as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .files import (
    JPEG,
    encoded,
    every_line,
    floats,
    labels,
    line,
    link,
    listed,
    mask,
    pixels,
    put,
    raster,
    rewritten,
    scene,
    sixteen_bits,
    turned,
)


def _flat(**options) -> Callable[[Path], Any]:
    return lambda f: put(f / 'forest/more.png', **options)


def _grey() -> np.ndarray:
    return pixels()[..., 0]


# read right: what is written, the data, and the pixels in RGB that are to come of it
ACCEPTED: dict[str, tuple[str, Callable[[Path], Any], Callable[[], np.ndarray] | None]] = {
    'grey': ('scenes', _flat(image=_grey()), lambda: np.stack([_grey()] * 3, -1)),
    'grey for OpenCV': ('opencv', _flat(image=_grey()), lambda: np.stack([_grey()] * 3, -1)),
    '1 bit': (
        'scenes',
        _flat(image=Image.fromarray(labels() > 0)),
        lambda: np.stack([255 * (labels() > 0).astype(np.uint8)] * 3, -1),
    ),
    'grey and alpha': (
        'scenes',
        _flat(image=Image.fromarray(_grey()).convert('LA')),
        lambda: np.stack([_grey()] * 3, -1),
    ),
    'alpha': ('scenes', _flat(image=Image.fromarray(pixels()).convert('RGBA')), pixels),
    'alpha for OpenCV': ('opencv', _flat(image=Image.fromarray(pixels()).convert('RGBA')), pixels),
    'palette': ('scenes', _flat(image=Image.fromarray(pixels()).quantize(256)), pixels),
    'palette for OpenCV': ('opencv', _flat(image=Image.fromarray(pixels()).quantize(256)), pixels),
    'CMYK': (
        'scenes',
        lambda f: put(f / 'forest/more.jpg', Image.fromarray(pixels()).convert('CMYK'), **JPEG),
        pixels,
    ),
    'CMYK for OpenCV': (
        'opencv',
        lambda f: put(f / 'forest/more.jpg', Image.fromarray(pixels()).convert('CMYK'), **JPEG),
        pixels,
    ),
    'CMYK TIFF': (
        'scenes',
        lambda f: put(f / 'forest/more.tif', Image.fromarray(pixels()).convert('CMYK')),
        pixels,
    ),
    'turned by EXIF': (
        'scenes',
        lambda f: put(f / 'forest/more.jpg', pixels(), exif=turned(3), **JPEG),
        lambda: pixels()[::-1, ::-1],
    ),
    'turned by EXIF for OpenCV': (
        'opencv',
        lambda f: put(f / 'forest/more.jpg', pixels(), exif=turned(3), **JPEG),
        lambda: pixels()[::-1, ::-1],
    ),
    '16-bit colours': ('scenes', scene('more.png', lambda: sixteen_bits(257)), pixels),
    '16-bit colours for OpenCV': ('opencv', scene('more.png', lambda: sixteen_bits(257)), pixels),
    '16-bit grey for OpenCV': (
        'opencv',
        scene('more.png', lambda: sixteen_bits(257, True)),
        lambda: np.stack([_grey()] * 3, -1),
    ),
    'PNG named JPEG': ('scenes', scene('more.jpg', encoded), lambda: pixels(7)),
    'WebP named JPEG': (
        'scenes',
        scene('more.jpg', lambda: encoded(kind='WEBP', lossless=True)),
        lambda: pixels(7),
    ),
    'GIF named PNG': ('scenes', scene('more.png', lambda: encoded(pixels(), kind='GIF')), pixels),
    'progressive JPEG': (
        'scenes',
        scene('more.jpg', lambda: encoded(pixels(), 'JPEG', progressive=True, **JPEG)),
        pixels,
    ),
    'one pixel': ('scenes', _flat(image=pixels()[:1, :1]), lambda: pixels()[:1, :1]),
    'link to elsewhere': (
        'scenes',
        lambda f: (put(f / 'other/0.png', pixels()), link('forest/more.png', 'other/0.png')(f)),
        pixels,
    ),
    'names that differ in case': ('scenes', lambda f: put(f / 'forest/0.PNG', pixels(3)), None),
    'spaces and accents in names': ('scenes', lambda f: put(f / 'forest/a b é 树.png', pixels(3)), None),
    'raster of 16 bits': ('bands', lambda f: None, None),
    'NaN among others': ('any bands', lambda f: raster(f / 'forest/more.tif', floats(np.nan, 4)), None),
    'declared nodata': (
        'any bands',
        lambda f: raster(f / 'forest/more.tif', floats(-3e38, 4), nodata=-3e38),
        None,
    ),
    'mask with a palette': ('maps', mask(lambda: Image.fromarray(labels()).convert('P')), None),
    'mask of 1 bit': ('maps', mask(lambda: Image.fromarray(labels() > 0)), None),
    'mask of 16 bits': ('maps', mask(lambda: labels().astype(np.uint16)), None),
    'mask with ignored pixels': (
        'maps',
        mask(lambda: np.where(labels() > 1, 255, labels()).astype(np.uint8)),
        None,
    ),
    'list: CRLF': ('scenes list', listed('\r\n'), None),
    'list: byte order mark': ('scenes list', lambda f: rewritten(b'\xef\xbb\xbf' + every_line(f))(f), None),
    'list: blank lines, spaces': (
        'scenes list',
        lambda f: rewritten(b'\n \n' + every_line(f).replace(b'\n', b' \n\n'))(f),
        None,
    ),
    'list: no end of line': ('scenes list', lambda f: rewritten(every_line(f).rstrip())(f), None),
    'list: absolute paths': (
        'scenes list',
        lambda f: rewritten(b''.join(b'/old/' + line for line in every_line(f).splitlines(True)))(f),
        None,
    ),
    'list: backslashes': ('scenes list', lambda f: rewritten(every_line(f).replace(b'/', b'\\'))(f), None),
    'list: no suffixes': ('scenes list', lambda f: rewritten(every_line(f).replace(b'.png', b''))(f), None),
    'list: accents written apart': (
        'scenes list',
        lambda f: (put(f / 'road/e\u0301.png'), listed('road/é.png')(f)),
        None,
    ),
    'mmpretrain: CRLF': (
        'list',
        lambda f: rewritten((f / 'list.txt').read_bytes().replace(b'\n', b'\r\n'))(f),
        None,
    ),
    'mmseg: CRLF': ('names', rewritten('0\r\n1\r\n'), None),
    'mmseg: non-ASCII name': (
        'names',
        lambda f: (put(f / 'img/é 树.png', pixels(5)), put(f / 'ann/é 树.png', labels()), line('é 树')(f)),
        None,
    ),
}
