#!/usr/bin/env python3
"""Split a scene data set by class and seed: ``split_scenes.py ucmerced data/ucmerced``.

Writes ``train.txt`` and, for the test, ``val.txt`` (the names of the RSMamba authors' lists) into the data
folder: ``Class/name`` lines, in the shares of the paper. The configs hold out a part of ``train.txt`` for
model selection. Every image is opened: what cannot be read is named, and the mean and standard deviation of
the training images are printed. ``folder`` takes any folder of class subfolders; rasters of more than three
bands or 8 bits (.tif) are read band by band.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mmengine.utils import track_iter_progress

from rsmamba_mm.datasets import AID, RESISC45, LoadSceneImage, SceneFolder, UCMerced
from rsmamba_mm.datasets.folder import write_split
from rsmamba_mm.datasets.transforms import read_bands
from rsmamba_mm.errors import UserError

# data set and the share that the paper trains on
PRESETS = {
    'ucmerced': (UCMerced, 0.7),
    'aid': (AID, 0.5),
    'resisc45': (RESISC45, 0.7),
    'folder': (SceneFolder, 0.8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('dataset', choices=PRESETS)
    parser.add_argument('data_root', type=Path, help='folder of the data set')
    parser.add_argument(
        '--train', type=float, help="share for training; default: the paper's, 0.8 for a folder"
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--bands', action='store_true', help='read all bands of rasters, through rasterio')
    parser.add_argument('--out', type=Path, help='folder for the lists; default: the data folder')
    args = parser.parse_args()
    kind, published = PRESETS[args.dataset]
    share = published if args.train is None else args.train
    if not 0 < share < 1:
        parser.error(f'--train is a share between 0 and 1, got {args.train}')
    out = args.out or args.data_root
    try:
        dataset = kind(str(args.data_root))
        paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
        paths.sort(key=lambda path: Path(path).parent.name)
        names = [Path(path).parent.name for path in paths]
        train, test = write_split(paths, names, share, out, args.seed)
    except (UserError, ValueError) as error:
        parser.error(str(error))
    expected = getattr(kind, 'NUM_IMAGES', len(paths))
    if len(paths) != expected:
        print(f'{len(paths)} images found; {kind.__name__} as published has {expected}')
    for name, part in (('train', train), ('val', test)):
        print(f'{out / name}.txt: {len(part)} images')
    mean, std = statistics(paths, set(train), args.bands, parser)
    bands = f'{len(mean)} bands' if args.bands else 'RGB'
    print(f'{len(dataset.CLASSES)} classes; of the training images, {bands}:')
    print(f'mean={np.round(mean, 3).tolist()}\nstd={np.round(std, 3).tolist()}')


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
        parser.error(f'{len(unreadable)} images cannot be read; fetch them again:\n  {listed}')
    if len(shapes) > 1:
        examples = ', '.join(f'{path} has {bands}' for bands, path in shapes.items())
        parser.error(f'the images have different numbers of bands: {examples}')
    mean = sums / pixels
    return mean, np.sqrt(squares / pixels - mean**2)


if __name__ == '__main__':
    main()
