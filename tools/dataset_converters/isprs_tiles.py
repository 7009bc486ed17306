#!/usr/bin/env python3
r"""Cut the tiles of ISPRS Vaihingen or Potsdam into patches, by a random split of the tiles.

mmsegmentation's converters follow the split of the benchmark; the figures of UNetMamba and its peers on
Vaihingen are those of 22 training, 2 validation and 9 test tiles drawn at random, with 1024 px patches. As
released for UNetMamba, Vaihingen:

    python tools/dataset_converters/isprs_tiles.py top gts --eroded gts_eroded --train-stride 1024 \
        --flips --zoom car 0.1 --out data/vaihingen_tiles

and Potsdam, with as many tiles for the test as in the benchmark:

    python tools/dataset_converters/isprs_tiles.py 2_Ortho_RGB 5_Labels_all \
        --eroded 5_Labels_all_noBoundary --parts 22 2 14 --train-stride 1024 --flips \
        --out data/potsdam_tiles

Here ``gts`` and ``gts_eroded`` hold the masks of all 33 tiles: of the downloads,
``…_ground_truth_COMPLETE`` and ``…_ground_truth_eroded_COMPLETE``.

Patches at the right and lower edge are padded with ignored pixels. Masks hold 0 for ignored pixels and 1
to 6 for the classes, as mmsegmentation's do. Validation and test patches lie side by side. Without the
options of the released tiling training patches overlap by half, and no copies are written.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import numpy as np
from mmengine.utils import track_iter_progress
from mmseg.datasets import ISPRSDataset
from PIL import Image

from rsmamba_mm.command_line import Parser
from rsmamba_mm.datasets import LoadPaletteAnnotations
from rsmamba_mm.datasets.folder import find_images
from rsmamba_mm.datasets.mosaic import resize_image, resize_labels
from rsmamba_mm.datasets.transforms import read_bands
from rsmamba_mm.errors import MissingDataError, OptionError, UserError

CLASSES: tuple[str, ...] = ISPRSDataset.METAINFO['classes']
PARTS = ('train', 'val', 'test')
# what the names of a tile's files end with, beside the tile's own
ENDINGS = re.compile(r'(_RGBIR|_IRRG|_RGB|_label)?(_noBoundary)?$')


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of the tiles (top, or 2_Ortho_RGB)')
    parser.add_argument('masks', type=Path, help='folder of their masks, in colours')
    parser.add_argument(
        '--eroded', type=Path, help='masks with eroded borders, for all tiles of validation and test'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder for the patches')
    parser.add_argument(
        '--parts', type=int, nargs=3, default=[22, 2, 9], metavar=('TRAIN', 'VAL', 'TEST'),
        help='number of tiles of each part (default: 22 2 9, as published on Vaihingen)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of the split and the zooms (default: 0)')
    parser.add_argument('--patch', type=int, default=1024, help='side of a patch in pixels (default: 1024)')
    parser.add_argument('--train-stride', type=int, help='between training patches (default: half a patch)')
    parser.add_argument(
        '--flips', action='store_true',
        help='write each training patch mirrored left to right and upside down too, as released',
    )  # fmt: skip
    parser.add_argument(
        '--zoom', nargs=2, metavar=('CLASS', 'SHARE'),
        help='draw a square of 3/8 to 1/2 of the side in each training patch, and enlarge it; where CLASS '
        'covers more than SHARE of it, write it, its two mirror images and a quarter turn in place of the '
        'patch: car 0.1, as released for Vaihingen',
    )  # fmt: skip
    parser.add_argument(
        '--rich', nargs=2, metavar=('CLASS', 'SHARE'),
        help='write training patches of half the size too where CLASS covers more than SHARE of them; '
        'not together with --zoom',
    )  # fmt: skip
    args = parser.parse_args()
    try:
        convert(args)
    except (UserError, OSError, ValueError) as error:
        parser.refuse(error)


def convert(args: argparse.Namespace) -> None:
    """Write the patches and ``split.txt``, and say how many there are."""
    stride = args.train_stride or args.patch // 2
    if args.patch < 32 or not 1 <= stride <= args.patch:
        raise OptionError(
            f'--patch must be at least 32 and --train-stride from 1 to it, got {args.patch} and {stride}'
        )
    if args.zoom and args.rich:
        raise OptionError(
            '--zoom puts enlarged windows in place of patches, --rich small ones beside them: give only one'
        )
    zoom, rich = _label_and_share('--zoom', args.zoom), _label_and_share('--rich', args.rich)
    tiles = find_tiles(args.images, args.masks)
    eroded = {} if args.eroded is None else find_tiles(args.images, args.eroded)
    if min(args.parts) < 0 or not 0 < sum(args.parts) <= len(tiles):
        raise OptionError(
            f'--parts {" ".join(map(str, args.parts))}: {args.images} has {len(tiles)} tiles with masks'
        )
    rng = np.random.default_rng(args.seed)
    order = rng.permutation(sorted(tiles))
    ends = np.cumsum(args.parts)
    split = {
        part: sorted(order[end - count : end].tolist())
        for part, count, end in zip(PARTS, args.parts, ends, strict=True)
    }
    bare = sorted({*split['val'], *split['test']} - set(eroded))
    if args.eroded is not None and bare:
        raise MissingDataError(
            f'{args.eroded} lacks the eroded masks of {", ".join(bare)}, which are for validation or test: '
            'add them, or leave --eroded out to measure on complete masks'
        )
    work = [(part, name) for part, names in split.items() for name in names]
    counts = dict.fromkeys(PARTS, 0)
    for part, name in track_iter_progress(work):
        image, mask = tiles[name]
        if part != 'train' and eroded:
            mask = eroded[name][1]
        pixels, labels = read_tile(image, mask)
        if part == 'train':
            windows = training_windows(pixels, labels, args.patch, stride, args.flips, zoom, rich, rng)
        else:
            windows = cut(pixels, labels, args.patch, args.patch)
        for place, x, y in windows:
            save(x, args.out / 'img_dir' / part / f'{name}_{place}.png')
            save(y, args.out / 'ann_dir' / part / f'{name}_{place}.png')
            counts[part] += 1
    lines = (f'{part}: {" ".join(names)}\n' for part, names in split.items())
    (args.out / 'split.txt').write_text(''.join(lines))
    said = ', '.join(
        f'{counts[part]} {part} patches of {len(split[part])} tiles' for part in PARTS if split[part]
    )
    print(f'\n{args.out}: {said}; the tiles are listed in {args.out / "split.txt"}')


def find_tiles(images: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
    """Image and mask of each tile that has both, by the tile's name."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise MissingDataError(f'no such folder: {folder}')
    named = [{ENDINGS.sub('', path.stem): path for path in find_images(f)} for f in (images, masks)]
    tiles = {name: (named[0][name], named[1][name]) for name in sorted(set(named[0]) & set(named[1]))}
    if not tiles:
        raise MissingDataError(
            f'no image in {images} has a mask of its name in {masks}: expected are files such as '
            'top_mosaic_09cm_area1.tif, or top_potsdam_2_10_RGB.tif with top_potsdam_2_10_label.tif'
        )
    return tiles


def read_tile(image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
    """Bands ``(H, W, 3)`` and labels ``(H, W)`` of a tile, uint8; 0 is ignored."""
    pixels = read_bands(str(image), [1, 2, 3]).astype(np.uint8)
    # one tile of Potsdam has colours that are off by a few levels
    colours = np.where(read_bands(str(mask), [1, 2, 3]) > 127, 255, 0).astype(np.uint8)
    try:
        labels = LoadPaletteAnnotations(ISPRSDataset.METAINFO['palette']).labels_of(colours) + np.uint8(1)
    except ValueError as error:
        raise ValueError(f'{mask}: {error}') from None
    if labels.shape != pixels.shape[:2]:
        raise OptionError(f'{image} is {pixels.shape[:2]}, but {mask} is {labels.shape}')
    return pixels, labels


def cut(pixels: np.ndarray, labels: np.ndarray, size: int, stride: int):
    """Windows as (place, pixels, labels), all of the full size, padded with zeros."""
    height, width = labels.shape
    for top in range(0, max(height - size, 0) + stride, stride):
        for left in range(0, max(width - size, 0) + stride, stride):
            window = (slice(top, top + size), slice(left, left + size))
            y = labels[window]
            if y.any():  # else all of it is ignored
                missing = [(0, size - n) for n in y.shape]
                yield f'{top}_{left}', np.pad(pixels[window], [*missing, (0, 0)]), np.pad(y, missing)


def training_windows(
    pixels: np.ndarray,
    labels: np.ndarray,
    size: int,
    stride: int,
    flips: bool,
    zoom: tuple[int, float] | None,
    rich: tuple[int, float] | None,
    rng: np.random.Generator,
):
    """Windows of a training tile as :func:`cut` gives them, with what the options add or replace."""
    for place, x, y in cut(pixels, labels, size, stride):
        closer = None if zoom is None else zoom_in(x, y, rng)
        if closer is not None and _holds(closer[1], zoom):
            turned = (np.rot90(array) for array in closer)
            yield from mirrored(f'{place}_zoom', *closer)
            yield f'{place}_zoom_turn', *turned
        elif flips:
            yield from mirrored(place, x, y)
        else:
            yield place, x, y
    if rich is not None:
        for place, x, y in cut(pixels, labels, size // 2, size // 4):
            if _holds(y, rich):
                yield from mirrored(f'{place}_rich', x, y) if flips else [(f'{place}_rich', x, y)]


def zoom_in(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square of a patch, of 3/8 to 1/2 of its side, enlarged to it (bilinear; labels nearest)."""
    size = len(y)
    side = int(rng.integers(3 * size // 8, size // 2 + 1))
    top, left = rng.integers(0, size - side + 1, 2)
    window = (slice(top, top + side), slice(left, left + side))
    return resize_image(x[window], y.shape), resize_labels(y[window], y.shape)


def mirrored(place: str, x: np.ndarray, y: np.ndarray):
    """A window, left to right, and upside down."""
    yield place, x, y
    yield f'{place}_hflip', x[:, ::-1], y[:, ::-1]
    yield f'{place}_vflip', x[::-1], y[::-1]


def save(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _holds(labels: np.ndarray, wanted: tuple[int, float]) -> bool:
    label, share = wanted
    return bool((labels == label).mean() > share)


def _label_and_share(option: str, given: tuple[str, str] | None) -> tuple[int, float] | None:
    if given is None:
        return None
    name, text = given
    if name not in CLASSES:
        raise OptionError(f'{option}: no class {name!r}; known are {", ".join(CLASSES)}')
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise OptionError(f'{option}: the share is from 0 to 1, got {text}')
    return CLASSES.index(name) + 1, share


if __name__ == '__main__':
    main()
