#!/usr/bin/env python3
"""Split a scene data set by class and seed: ``split_scenes.py ucmerced data/ucmerced``.

Writes ``train.txt`` and, for the test, ``val.txt`` (the names of the RSMamba authors' lists) into the data
folder: ``Class/name`` lines, in the shares of the paper. The configs hold out a part of ``train.txt`` for
model selection. Every image is opened: what cannot be read is named, and the mean and standard deviation of
the training images are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import track_iter_progress

from rsmamba_mm.datasets import AID, RESISC45, UCMerced
from rsmamba_mm.datasets.folder import stratified_split

# data set and the share that the paper trains on
PRESETS = {'ucmerced': (UCMerced, 0.7), 'aid': (AID, 0.5), 'resisc45': (RESISC45, 0.7)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('dataset', choices=PRESETS)
    parser.add_argument('data_root', type=Path, help='folder of the data set')
    parser.add_argument('--train', type=float, help="share for training; default: the paper's")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, help='folder for the lists; default: the data folder')
    args = parser.parse_args()
    kind, published = PRESETS[args.dataset]
    train = args.train or published
    try:
        dataset = kind(str(args.data_root))
        samples = [dataset.get_data_info(i) for i in range(len(dataset))]
        labels = [sample['gt_label'] for sample in samples]
        parts = stratified_split(labels, (train, 1 - train), args.seed)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if len(samples) != kind.NUM_IMAGES:
        print(f'{len(samples)} images found; {kind.__name__} as published has {kind.NUM_IMAGES}')
    paths = [Path(sample['img_path']) for sample in samples]
    mean, std = statistics(paths, set(parts[0]), parser)
    out = args.out or args.data_root
    out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(('train', 'val'), parts, strict=True):
        lines = [f'{paths[index].parent.name}/{paths[index].name}\n' for index in part]
        (out / f'{name}.txt').write_text(''.join(lines))
        print(f'{out / name}.txt: {len(part)} images')
    print(f'RGB mean {np.round(mean, 3).tolist()}, std {np.round(std, 3).tolist()} of the training images')


def statistics(paths: list[Path], training: set[int], parser) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the training images; names every image that cannot be read."""
    unreadable, sums, squares, pixels = [], np.zeros(3), np.zeros(3), 0
    for index, path in enumerate(track_iter_progress(paths)):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            unreadable.append(path)
        elif index in training:
            values = image[..., ::-1].reshape(-1, 3).astype(np.float64)
            sums += values.sum(0)
            squares += np.square(values).sum(0)
            pixels += len(values)
    print()
    if unreadable:
        listed = '\n  '.join(map(str, unreadable))
        parser.error(f'{len(unreadable)} images cannot be read; fetch them again:\n  {listed}')
    mean = sums / pixels
    return mean, np.sqrt(squares / pixels - mean**2)


if __name__ == '__main__':
    main()
