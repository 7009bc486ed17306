#!/usr/bin/env python3
"""Watch RSMamba learn: train, test, and leave pictures.

Without options it learns synthetic aerial scenes; ``--data FOLDER`` takes a folder of your own with one
subfolder of images for each class, and splits it: a fifth is for the test, and a tenth of the rest for
choosing the checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import numpy as np

from rsmamba_mm import compat

compat.apply()

from mmengine.config import Config  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from rsmamba_mm.datasets import mean_colour_accuracy  # noqa: E402
from rsmamba_mm.datasets.folder import find_scenes, write_split  # noqa: E402
from rsmamba_mm.errors import OptionError, UserError  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'rsmamba'
TRAIN_SHARE = 0.8  # of which the config holds out a tenth for model selection
# how many images the demo trains on, repeats counted: a few minutes on two cores
DEMO_IMAGES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', help='folder with one subfolder of images for each class')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default: work_dirs/demo')
    parser.add_argument('--epochs', type=int, help='default: a few minutes on two cores')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    args = parser.parse_args()
    work_dir = Path(args.work_dir)
    try:
        cfg = folder_config(Path(args.data), work_dir) if args.data else synthetic_config()
        if args.epochs is not None and args.epochs < 2:
            raise OptionError(f'--epochs must be at least 2, got {args.epochs}')
    except (UserError, ValueError) as error:
        parser.error(str(error))
    if args.epochs is not None:
        set_epochs(cfg, args.epochs)
    cfg.work_dir = str(work_dir)
    cfg.randomness.seed = args.seed
    run(cfg, work_dir)


def synthetic_config() -> Config:
    return Config.fromfile(CONFIGS / 'rsmamba-t_synthetic-128px.py')


def folder_config(folder: Path, work_dir: Path) -> Config:
    """The demo's config on a folder of class subfolders, with the lists of its split written."""
    classes, images, labels = find_scenes(folder)
    cfg = Config.fromfile(CONFIGS / 'rsmamba-t_folder-128px.py')
    lists = (work_dir / 'split').resolve()
    training, _ = write_split(images, labels, TRAIN_SHARE, lists)
    for split, name in (('train', 'train'), ('val', 'train'), ('test', 'val')):
        cfg[f'{split}_dataloader'].dataset.update(
            data_root=str(folder.resolve()), ann_file=str(lists / f'{name}.txt')
        )
    cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = len(classes)
    set_epochs(cfg, max(2, round(DEMO_IMAGES / len(training))))
    return cfg


def set_epochs(cfg: Config, epochs: int) -> None:
    cfg.train_cfg.max_epochs = cfg.param_scheduler[-1].end = epochs
    # about ten validations, however many epochs there are
    cfg.train_cfg.val_interval = max(1, epochs // 10)


def run(cfg: Config, work_dir: Path) -> None:
    """Train, test the best checkpoint, draw, and say the figures."""
    started = time.perf_counter()
    runner = Runner.from_cfg(cfg)
    runner.train()
    trained = time.perf_counter()
    best = max(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)

    cfg.load_from = str(best)
    tester = Runner.from_cfg({**cfg, 'experiment_name': f'{runner.experiment_name}_test'})
    metrics = tester.test()
    tested = time.perf_counter()

    drawn = [
        Path(runner.log_dir) / 'learning_curve.png',
        Path(tester.log_dir) / 'confusion_matrix.png',
        Path(tester.log_dir) / 'predictions.png',
    ]
    pictures = [shutil.copy(picture, work_dir) for picture in drawn]
    dataset = tester.test_dataloader.dataset
    baseline = mean_colour_accuracy(
        pixels(runner.train_dataloader.dataset), pixels(tester.test_dataloader.dataset)
    )
    parameters = sum(p.numel() for p in runner.model.parameters())
    print(
        f'\nRSMamba ({parameters:,} parameters), {len(dataset.CLASSES)} classes, '
        f'{len(dataset)} test images:\n'
        f'  accuracy             {metrics["accuracy/top1"]:6.2f} %\n'
        f'  macro F1             {metrics["single-label/f1-score"]:6.2f} %\n'
        f'  nearest mean colour  {baseline:6.2f} %   (what colour alone would give)\n'
        f'  training {trained - started:.0f} s, test {tested - trained:.0f} s\n'
        f'Checkpoint: {best}\nPictures:'
    )
    for picture in pictures:
        print(f'  {picture}')


def pixels(dataset, most: int = 1200):
    """Images and labels of a data set, through its own pipeline; a random part of a large one."""
    for index in np.random.default_rng(0).permutation(len(dataset))[:most].tolist():
        sample = dataset[index]
        image = sample['inputs'].permute(1, 2, 0).numpy()
        yield image, int(sample['data_samples'].gt_label)


if __name__ == '__main__':
    main()
