#!/usr/bin/env python3
"""Watch RSMamba and UNetMamba learn: train, test, and leave pictures.

Without options both learn synthetic aerial scenes, one to name them and one to map their land cover; the
second then maps a GeoTIFF, with polygons and areas.
``--data FOLDER`` takes a folder of your own for RSMamba, with one subfolder of images for each class, and
splits it: a fifth is for the test, and a tenth of the rest for choosing the checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import rsmamba_mm._considerate_threads  # noqa: F401 - before PyTorch

import numpy as np

from rsmamba_mm.command_line import Parser
from rsmamba_mm.errors import UserError

if TYPE_CHECKING:  # what takes seconds is imported where it is used, after the options are read
    from mmengine.runner import Runner

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
TASKS = {
    'classification': CONFIGS / 'rsmamba' / 'rsmamba-t_synthetic-128px.py',
    'segmentation': CONFIGS / 'unetmamba' / 'unetmamba_tiny_synthetic-128x128.py',
}
FOLDER_CONFIG = CONFIGS / 'rsmamba' / 'rsmamba-t_folder-128px.py'
PICTURES = ('learning_curve.png', 'confusion_matrix.png', 'predictions.png')
TRAIN_SHARE = 0.8  # of which the config holds out a tenth for model selection
RESOLUTION = 0.8  # metres of a pixel of the GeoTIFF
# how many images of a folder the demo trains on, repeats counted: a few minutes on two cores
FOLDER_IMAGES = 5_000


class Outcome(NamedTuple):
    """What a run ended with."""

    runner: Runner
    tester: Runner
    metrics: dict[str, float]
    checkpoint: Path
    pictures: list[Path]
    seconds: tuple[float, float]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--task', choices=TASKS, help='one of the two alone (default: both)')
    parser.add_argument(
        '--data', help='folder with one subfolder of images for each class: classification of these'
    )
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default: work_dirs/demo')
    parser.add_argument('--epochs', type=int, help='default: a few minutes on two cores')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    args = parser.parse_args()
    if args.data and args.task == 'segmentation':
        parser.refuse('--data is for classification: a segmenter needs masks; see configs/unetmamba')
    if args.epochs is not None and args.epochs < 2:
        parser.refuse(f'--epochs must be at least 2, got {args.epochs}')
    tasks = ['classification'] if args.data else [args.task] if args.task else list(TASKS)
    reports = dict(classification=report_classification, segmentation=report_segmentation)
    try:
        if 'segmentation' in tasks:
            import_module('rsmamba_mm.apis.geo')  # without the extra geo it says so, before any training
        said = [reports[task](run(task, Path(args.work_dir) / task, args)) for task in tasks]
        if 'segmentation' in tasks:
            said.append(map_landscape(Path(args.work_dir)))
    except UserError as error:
        parser.refuse(error)
    # the figures of all of them together, at the end
    print('\n' + '\n\n'.join(said))


def run(task: str, work_dir: Path, args: argparse.Namespace) -> Outcome:
    """Train, test the best checkpoint, and collect the pictures."""
    config, options, epochs = TASKS[task], {'randomness.seed': args.seed}, args.epochs
    if args.data:
        config = FOLDER_CONFIG
        split, fitting = split_folder(Path(args.data), work_dir)
        options.update(split)
        epochs = epochs or fitting
    if epochs is not None:
        # about ten validations, however many epochs there are
        options.update({'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': max(1, epochs // 10)})
    call = dict(config=str(config), work_dir=str(work_dir), cfg_options=options)

    from rsmamba_mm.apis import prepare_test, prepare_train

    started = time.perf_counter()
    runner = prepare_train(argparse.Namespace(**call))
    runner.train()
    trained = time.perf_counter()
    best = best_checkpoint(work_dir)
    tester = prepare_test(argparse.Namespace(checkpoint=str(best), **call))
    metrics = tester.test()
    tested = time.perf_counter()

    folders = (Path(runner.log_dir), Path(tester.log_dir))
    drawn = (folder / name for name in PICTURES for folder in folders if (folder / name).is_file())
    pictures = [Path(shutil.copy(picture, work_dir)) for picture in drawn]
    return Outcome(runner, tester, metrics, best, pictures, (trained - started, tested - trained))


def best_checkpoint(work_dir: Path) -> Path:
    """The one that the last training found best."""
    return max(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)


def split_folder(folder: Path, work_dir: Path) -> tuple[dict, int]:
    """Split a folder of class subfolders; the options that the config needs for it, and fitting epochs."""
    from rsmamba_mm.datasets.folder import find_scenes, write_split

    classes, images, labels = find_scenes(folder)
    lists = (work_dir / 'split').resolve()
    training, _ = write_split(images, labels, TRAIN_SHARE, lists)
    options = {'data_root': str(folder.resolve())}
    for split, name in (('train', 'train'), ('val', 'train'), ('test', 'val')):
        options[f'{split}_dataloader.dataset.ann_file'] = str(lists / f'{name}.txt')
    counts = dict.fromkeys(('model.head.num_classes', 'data_preprocessor.num_classes'), len(classes))
    return options | counts, max(2, round(FOLDER_IMAGES / len(training)))


def report_classification(outcome: Outcome) -> str:
    from rsmamba_mm.datasets import mean_colour_accuracy

    metrics, dataset = outcome.metrics, outcome.tester.test_dataloader.dataset
    baseline = mean_colour_accuracy(scenes(outcome.runner.train_dataloader.dataset), scenes(dataset))
    return report(
        'RSMamba',
        outcome,
        f'{len(dataset.CLASSES)} classes',
        f'  accuracy             {metrics["accuracy/top1"]:6.2f} %',
        f'  macro F1             {metrics["single-label/f1-score"]:6.2f} %',
        f'  nearest mean colour  {baseline:6.2f} %   (what colour alone would give)',
    )


def report_segmentation(outcome: Outcome) -> str:
    from rsmamba_mm.datasets import mean_colour_accuracy

    metrics, dataset = outcome.metrics, outcome.tester.test_dataloader.dataset
    baseline = mean_colour_accuracy(pixels(outcome.runner.train_dataloader.dataset), pixels(dataset))
    classes = dataset.metainfo['classes']
    return report(
        'UNetMamba',
        outcome,
        f'{len(classes)} classes of land cover',
        f'  mIoU                 {metrics["mIoU"]:6.2f} %',
        f'  mean F1              {metrics["mFscore"]:6.2f} %',
        f'  overall accuracy     {metrics["aAcc"]:6.2f} %',
        f'  nearest mean colour  {baseline:6.2f} %   (of pixels: what colour alone would give)',
        '  IoU: ' + ', '.join(f'{name} {metrics[f"IoU.{name}"]:.1f}' for name in classes),
    )


def map_landscape(work_dir: Path) -> str:
    """Let the segmenter map a GeoTIFF that it has not seen, and compare the areas with the truth."""
    import rasterio

    from rsmamba_mm.apis import LandCoverSegmenter, segment_raster
    from rsmamba_mm.datasets import render_landscape
    from rsmamba_mm.visualization import SegmentedImage, plot_overlays

    folder = work_dir / 'raster'
    folder.mkdir(parents=True, exist_ok=True)
    image, truth = render_landscape(resolution=RESOLUTION)
    height, width = truth.shape
    # a place in the 31st zone of UTM
    transform = rasterio.Affine(RESOLUTION, 0, 500_000, 0, -RESOLUTION, 5_000_000)
    profile = dict(driver='GTiff', width=width, height=height, count=3, dtype='uint8', crs='EPSG:32631')
    with rasterio.open(folder / 'scene.tif', 'w', transform=transform, **profile) as file:
        file.write(image[..., ::-1].transpose(2, 0, 1))
    model = LandCoverSegmenter(TASKS['segmentation'], best_checkpoint(work_dir / 'segmentation'))
    result = segment_raster(
        folder / 'scene.tif',
        folder / 'land_cover.tif',
        model,
        polygons='gpkg',
        areas=True,
        style=True,
        overwrite=True,
    )
    with rasterio.open(result.map) as file:
        found = file.read(1)
    picture = folder / 'land_cover.png'
    drawn = SegmentedImage(image[..., ::-1], truth, found, 'scene.tif')
    plot_overlays([drawn], result.classes, model.palette, picture, width=24)
    pixel = RESOLUTION**2
    lines = [
        f'A GeoTIFF of {width} x {height} px, {100 * (found == truth).mean():.1f} % of its pixels right:',
        '  class                 mapped       truth',
        *(
            f'  {name:16} {result.areas[name]:8,.0f} m² {pixel * (truth == index).sum():8,.0f} m²'
            for index, name in enumerate(result.classes)
        ),
        *(
            f'  {kind:10} {path}'
            for kind, path in result.files.items()
            if kind in ('map', 'polygons', 'areas')
        ),
        f'  picture    {picture}',
    ]
    return '\n'.join(lines)


def report(name: str, outcome: Outcome, classes: str, *figures: str) -> str:
    parameters = sum(p.numel() for p in outcome.tester.model.parameters())
    images = len(outcome.tester.test_dataloader.dataset)
    training, test = outcome.seconds
    return '\n'.join(
        [
            f'{name} ({parameters:,} parameters), {classes}, {images} test images:',
            *figures,
            f'  training {training:.0f} s, test {test:.0f} s',
            f'  checkpoint {outcome.checkpoint}',
            *(f'  picture    {picture}' for picture in outcome.pictures),
        ]
    )


def samples(dataset, most: int) -> Iterator:
    """Images ``(H, W, 3)`` and annotations of a data set, through its own pipeline; a random part of a
    large one."""
    for index in np.random.default_rng(0).permutation(len(dataset))[:most].tolist():
        sample = dataset[index]
        yield sample['inputs'].permute(1, 2, 0).numpy(), sample['data_samples']


def scenes(dataset, most: int = 1200) -> Iterator:
    """Images with their labels."""
    for image, annotation in samples(dataset, most):
        yield image, int(annotation.gt_label)


def pixels(dataset, most: int = 120, of_each: int = 200) -> Iterator:
    """Single pixels with their labels."""
    generator = np.random.default_rng(0)
    for image, annotation in samples(dataset, most):
        labels = annotation.gt_sem_seg.data[0].numpy()
        rows, columns = (generator.integers(0, side, of_each) for side in labels.shape)
        for row, column in zip(rows, columns, strict=True):
            yield image[None, None, row, column], int(labels[row, column])


if __name__ == '__main__':
    main()
