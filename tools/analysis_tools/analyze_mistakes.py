#!/usr/bin/env python3
"""The worst predictions: ``analyze_mistakes.py CONFIG CHECKPOINT [--count N] [--work-dir FOLDER]``.

The test images of the config, from the worst on: scenes by the score of the true class, maps by the share
of pixels that are right. Beside the log, ``mistakes.csv`` lists all, ``mistakes.png`` shows the N worst.
"""

import argparse
import heapq
from pathlib import Path

import numpy as np
from _trained import Trained, run

from rsmamba_mm.apis import judge_images
from rsmamba_mm.command_line import Parser
from rsmamba_mm.errors import OptionError
from rsmamba_mm.visualization import draw_scores, plot_overlays, write_table
from rsmamba_mm.visualization._figures import displayable, save_image


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=8, metavar='N', help='in the picture (default: 8)')
    run(parser, analyze)


def analyze(args: argparse.Namespace, trained: Trained) -> None:
    if args.count < 1:
        raise OptionError(f'--count must be at least 1, got {args.count}')
    dataset = trained.runner.test_dataloader.dataset
    classes = dataset.metainfo['classes']
    rows, worst = [], []
    for image in judge_images(trained.model, trained.runner.test_dataloader):
        row = dict(image=image.path, score=f'{image.score:.6f}')
        if image.scores is not None:
            row.update(true=classes[image.truth], predicted=classes[image.prediction])
        rows.append(row)
        # the maps of those that are drawn are kept, and no others
        entry = (-image.score, -image.index, image)
        (heapq.heappush if len(worst) < args.count else heapq.heappushpop)(worst, entry)
    if not rows:
        raise OptionError(f'{args.config}: no test image has a pixel to compare with')
    rows.sort(key=lambda row: float(row['score']))
    worst = [image for *_, image in sorted(worst, reverse=True)]
    print(write_table(rows, trained.folder / 'mistakes.csv'))
    inputs = [dataset[image.index]['inputs'] for image in worst]
    names = [Path(image.path).name for image in worst]
    if worst[0].scores is None:
        from rsmamba_mm.engine.segmentation_report import reduced

        maps = [
            reduced(x, image.truth, image.prediction, name)
            for x, image, name in zip(inputs, worst, names, strict=True)
        ]
        print(plot_overlays(maps, classes, dataset.metainfo['palette'], trained.folder / 'mistakes.png'))
        return
    pictures = [
        draw_scores(displayable(x, bgr=True), image.scores, classes, image.truth, name=name)
        for x, image, name in zip(inputs, worst, names, strict=True)
    ]
    print(save_image(sheet(pictures), trained.folder / 'mistakes.png'))


def sheet(pictures: list[np.ndarray], columns: int = 2, gap: int = 8) -> np.ndarray:
    """Pictures ``(h, w, 3)`` in rows on white."""
    height, width = (gap + max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    paper = np.full((-(-len(pictures) // columns) * height, columns * width, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        y, x = place // columns * height, place % columns * width
        paper[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return paper


if __name__ == '__main__':
    main()
