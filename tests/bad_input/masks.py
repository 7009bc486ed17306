"""Masks that are bad, and images that do not fit theirs."""

from pathlib import Path

import numpy as np
from PIL import Image

from .files import (
    CLASSES,
    COLOURS,
    SIDE,
    Case,
    content,
    encoded,
    floats,
    labels,
    mask,
    pair,
    pixels,
    png,
    put,
    turned,
)

MASKS: dict[str, Case] = {
    'no mask': Case(
        'maps', lambda f: put(f / 'img/bad.png'), r'ann/bad\.png: missing: it is not there: fetch'
    ),
    'mask in other case': Case(
        'maps',
        lambda f: (put(f / 'img/bad.png'), put(f / 'ann/BAD.png', labels())),
        r'the case differs: BAD\.png is',
    ),
    'mask of other suffix': Case(
        'maps',
        lambda f: (put(f / 'img/bad.png'), put(f / 'ann/bad.tif', labels())),
        r'another suffix\? bad\.tif is',
    ),
    'no folder of masks': Case(
        'maps',
        lambda f: (f / 'ann').rename(f / 'elsewhere'),
        'nor is its folder .*ann',
        faults=2,
    ),
    'empty mask': Case('maps', pair(mask=content(lambda: b'')), 'ann/bad.png: empty file'),
    'text as a mask': Case(
        'maps', pair(mask=content(lambda: b'1 2')), 'ann/bad.png: no image: it is a text'
    ),
    'mask is a folder': Case('maps', pair(mask=Path.mkdir), 'ann/bad.png: folder'),
    'cut mask': Case('maps', pair(mask=content(lambda: encoded(labels())[:-24])), 'truncated', False),
    'bomb as a mask': Case('maps', pair(mask=content(lambda: png(50000, 50000))), 'ann/bad.png: bomb'),
    'mask of another size': Case(
        'maps',
        mask(labels()[:8]),
        r'mask of another size: it is 8 × 16 px \(height × width\), its image 16 × 16',
    ),
    'mask turned': Case(
        'maps', pair(lambda p: put(p, pixels()[:8]), lambda p: put(p, labels()[:, :8])), 'it is 16 × 8 px'
    ),
    'label out of range': Case(
        'maps',
        mask(lambda: labels() + 1),
        r'it has the labels 3, but there are 3 classes from 0, and 255',
        False,
    ),
    'many labels': Case(
        'maps',
        mask(lambda: np.arange(256, dtype=np.uint8).reshape(SIDE, SIDE)),
        r'labels 3, 4, 5, 6, 7, …',
        False,
    ),
    'all ignored': Case(
        'maps', mask(lambda: np.full_like(labels(), 255)), 'all ignored: each pixel is 255', False
    ),
    'all unlabelled': Case(
        'maps', mask(lambda: 0 * labels()), 'all ignored', False, dict(reduce_zero_label=True), 2
    ),
    'colours for labels': Case(
        'maps', mask(lambda: COLOURS[labels()]), r'colour mask: it has colours \(RGB\)'
    ),
    'mask with alpha': Case(
        'maps', mask(lambda: Image.fromarray(labels()).convert('LA')), r'colour mask: .*\(LA\).*Palette'
    ),
    'JPEG as a mask': Case('maps', mask(labels, format='JPEG'), 'lossy mask: a JPEG blurs'),
    'label above 255': Case(
        'maps',
        mask(lambda: labels().astype(np.uint16) + 256),
        'it has the value 256, and labels are',
        False,
    ),
    'mask of halves': Case(
        'maps', mask(lambda: labels() / np.float32(2), format='TIFF'), r'it has the value 0\.5', False
    ),
    'NaN in a mask': Case(
        'maps', mask(lambda: floats(np.nan)[0], format='TIFF'), 'it has the value nan', False
    ),
    'image turned by EXIF': Case(
        'maps', pair(lambda p: put(p, format='JPEG', exif=turned(6))), r'turned image: .*EXIF orientation 6'
    ),
    'image upside down by EXIF': Case(
        'maps', pair(lambda p: put(p, format='JPEG', exif=turned(3))), r'turned image: .*remove the tag'
    ),
    'image mirrored by EXIF': Case(
        'maps', pair(lambda p: put(p, exif=turned(2))), r'turned image: .*EXIF orientation 2'
    ),
    'black and white': Case(
        'maps',
        lambda f: [put(p, 255 * (labels() > 0).astype(np.uint8)) for p in (f / 'ann').iterdir()],
        r"no pixel of the masks is of the class 'river' \(1\); their labels are 0, 255",
        False,
        dict(metainfo=dict(classes=CLASSES[:2], palette=COLOURS[:2].tolist())),
    ),
    'suffix in capitals': Case(
        'maps', lambda f: put(f / 'img/bad.PNG'), '1 images with the suffix .PNG are not read'
    ),
    'unknown colour': Case(
        'colours',
        mask(lambda: 255 - COLOURS[labels()]),
        r'unknown colour: .*have a colour that is no class',
        False,
    ),
    'cut mask of colours': Case(
        'colours', pair(mask=content(lambda: encoded(COLOURS[labels()])[:-24])), 'truncated', False
    ),
    'JPEG as a mask of colours': Case(
        'colours', mask(lambda: COLOURS[labels()], format='JPEG'), 'lossy mask'
    ),
    'no images': Case(
        'maps',
        lambda f: [p.unlink() for p in (f / 'img').iterdir()],
        'no samples: .*BaseSegDataset finds none',
    ),
}
