#!/usr/bin/env python3
"""Split a scene data set by class and seed: ``split_scenes.py ucmerced data/ucmerced``.

Writes ``train.txt`` and, for the test, ``val.txt`` (the names of the RSMamba authors' lists) into the data
folder: ``Class/name`` lines, in the shares of the paper. The configs hold out a part of ``train.txt`` for
model selection. Every image is opened: what cannot be read is named, and the mean and standard deviation of
the training images are printed. ``folder`` takes any folder of class subfolders; rasters of more than three
bands or 8 bits (.tif) are read band by band.

``--check-leaks`` leaves the lists as they are and looks for near duplicates across them instead: test
images that training has seen. It exits with 0 if there are none, and with 1 if there are.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.utils import track_iter_progress
from PIL import Image

from rsmamba_mm.command_line import Parser
from rsmamba_mm.datasets import LoadSceneImage
from rsmamba_mm.datasets.duplicates import BITS, THRESHOLD, near_duplicates, perceptual_hashes
from rsmamba_mm.datasets.splits import SCENES, split_scenes
from rsmamba_mm.datasets.transforms import read_bands
from rsmamba_mm.errors import UserError
from rsmamba_mm.visualization._figures import displayable


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', choices=SCENES)
    parser.add_argument('data_root', type=Path, help='folder of the data set')
    parser.add_argument(
        '--train', type=float, help="share for training; default: the paper's, 0.8 for a folder"
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--bands', action='store_true', help='read all bands of rasters, through rasterio')
    parser.add_argument('--out', type=Path, help='folder of the lists; default: the data folder')
    leaks = parser.add_argument_group('near duplicates')
    leaks.add_argument('--check-leaks', action='store_true', help='look for them across the lists')
    leaks.add_argument(
        '--threshold', type=int, default=THRESHOLD, metavar='BITS',
        help='bits of the 64 of a perceptual hash that may differ (default: %(default)s)',
    )  # fmt: skip
    leaks.add_argument(
        '--leaks-csv', type=Path, metavar='FILE', help='write the pairs: train, test, distance'
    )
    args = parser.parse_args()
    kind, published = SCENES[args.dataset]
    share = published if args.train is None else args.train
    if not 0 < share < 1:
        parser.refuse(f'--train is a share between 0 and 1, got {args.train}')
    if not 0 <= args.threshold < BITS:
        parser.refuse(f'--threshold is from 0 to {BITS - 1} bits, got {args.threshold}')
    if args.leaks_csv and not args.check_leaks:
        parser.refuse('--leaks-csv goes with --check-leaks')
    out = args.out or args.data_root
    try:
        if args.check_leaks:
            sys.exit(check_leaks(kind, args, out))
        dataset = kind(str(args.data_root))
        paths, train, test = split_scenes(dataset, share, out, args.seed)
    except (UserError, ImportError, OSError, ValueError) as error:
        parser.refuse(error)
    expected = getattr(kind, 'NUM_IMAGES', len(paths))
    if len(paths) != expected:
        print(f'{len(paths)} images found; {kind.__name__} as published has {expected}')
    for name, part in (('train', train), ('val', test)):
        print(f'{out / name}.txt: {len(part)} images')
    mean, std = statistics(paths, set(train), args.bands, parser)
    bands = f'{len(mean)} bands' if args.bands else 'RGB'
    print(f'{len(dataset.CLASSES)} classes; of the training images, {bands}:')
    print(f'mean={np.round(mean, 3).tolist()}\nstd={np.round(std, 3).tolist()}')
    if args.dataset == 'folder':
        count = len(dataset.CLASSES)
        print(
            f'options of the configs for folders: --cfg-options data_root={args.data_root} '
            f'model.head.num_classes={count} data_preprocessor.num_classes={count}'
        )


def check_leaks(kind: type, args: argparse.Namespace, out: Path) -> int:
    """Print, and write, the near duplicates across the lists; 1 if there are any, else 0."""
    parts = []
    for name in ('train', 'val'):
        dataset = kind(str(args.data_root), ann_file=str((out / f'{name}.txt').resolve()))
        parts.append([dataset.get_data_info(i)['img_path'] for i in range(len(dataset))])
    train, test = parts
    print(f'hashing {len(train)} images of {out / "train.txt"} and {len(test)} of {out / "val.txt"}')
    hashes = perceptual_hashes(open_image(p, args.bands) for p in track_iter_progress(train + test))
    print()
    found = near_duplicates(hashes[: len(train)], hashes[len(train) :], args.threshold)
    pairs = sorted(found, key=lambda pair: (pair[2], test[pair[1]]))
    for i, j, distance in pairs:
        print(f'{distance:2d} bits: {train[i]} (train), {test[j]} (test)')
    seen = len({j for _, j, _ in pairs})
    print(
        f'{len(pairs)} pairs differ in at most {args.threshold} of {BITS} bits: {seen} of {len(test)} test '
        f'images ({100 * seen / len(test):.2f} %) have a near duplicate among the training images'
    )
    if args.leaks_csv:
        args.leaks_csv.parent.mkdir(parents=True, exist_ok=True)
        with args.leaks_csv.open('w', newline='') as file:
            rows = csv.writer(file)
            rows.writerow(['train', 'test', 'distance'])
            rows.writerows((train[i], test[j], distance) for i, j, distance in pairs)
        print(f'pairs: {args.leaks_csv}')
    return int(bool(pairs))


def open_image(path: str, bands: bool) -> Image.Image:
    """An image, or a raster as it is shown."""
    if not bands:
        return Image.fromarray(LoadSceneImage()(dict(img_path=path))['img'][..., ::-1])
    raster = torch.from_numpy(read_bands(path)).permute(2, 0, 1)
    return Image.fromarray(displayable(raster, bgr=False).squeeze())


def statistics(paths: list[str], training: set[int], bands: bool, parser) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the training images; names every image that cannot be read."""
    load_colour = LoadSceneImage()
    unreadable, shapes, sums, squares, pixels = [], {}, 0.0, 0.0, 0
    for index, path in enumerate(track_iter_progress(paths)):
        try:
            image = read_bands(path) if bands else load_colour(dict(img_path=path))['img'][..., ::-1]
        except OSError as error:
            unreadable.append(f'{path}: {error.__cause__ or error}')
            continue
        shapes.setdefault(image.shape[-1], path)
        if index in training and len(shapes) == 1:
            values = image.reshape(-1, image.shape[-1]).astype(np.float64)
            sums = sums + values.sum(0)
            squares = squares + np.square(values).sum(0)
            pixels += len(values)
    print()
    if unreadable:
        listed = '\n  '.join(unreadable)
        parser.refuse(f'{len(unreadable)} images cannot be read; fetch them again:\n  {listed}')
    if len(shapes) > 1:
        examples = ', '.join(f'{path} has {bands}' for bands, path in shapes.items())
        parser.refuse(f'the images have different numbers of bands: {examples}')
    mean = sums / pixels
    return mean, np.sqrt(squares / pixels - mean**2)


if __name__ == '__main__':
    main()
