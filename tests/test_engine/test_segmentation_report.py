"""What a run of a segmenter leaves, and what it refuses."""

import csv
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

pytest.importorskip('mmseg')
from rsmamba_mm.engine import SegmentationReportHook

SMALL = dict(
    embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1)
)


def config(root, work_dir, **options) -> Config:
    cfg = Config.fromfile(root / 'configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py')
    for split, images in (('train', 4), ('val', 2), ('test', 5)):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(num_images=images, img_size=64)
    cfg.merge_from_dict(
        {
            'model.neck.in_channels': (8, 16, 32, 64),
            'model.decode_head.in_channels': 8,
            'model.auxiliary_head.in_channels': (32, 16, 8),
            'data_preprocessor.size': (64, 64),
            'model.data_preprocessor.size': (64, 64),
            'train_cfg.max_epochs': 1,
            'default_hooks.checkpoint.interval': -1,
            'default_hooks.checkpoint.save_best': None,
            'default_hooks.logger.interval': 1,
            'work_dir': str(work_dir),
            'visualizer.name': work_dir.name,  # else shared by all runs of this process
            **options,
        }
    )
    cfg.model.backbone.arch = SMALL
    return cfg


def test_what_a_run_leaves(root, tmp_path):
    runner = Runner.from_cfg(config(root, tmp_path))
    runner.train()
    metrics = runner.test()
    for name in ('learning_curve', 'predictions'):
        height, width, _ = cv2.imread(str(Path(runner.log_dir) / f'{name}.png')).shape
        assert height > 300 and width > 300
    *rows, mean = csv.DictReader((Path(runner.log_dir) / 'classes.csv').open())
    assert [row['class'] for row in rows] == list(runner.test_dataloader.dataset.metainfo['classes'])
    assert float(mean['iou']) == metrics['mIoU'] and float(mean['f1']) == metrics['mFscore']
    assert float(rows[3]['iou']) == pytest.approx(metrics[f'IoU.{rows[3]["class"]}'], nan_ok=True)


def test_classes_are_checked_before_the_first_step(root, tmp_path):
    wrong = {'model.decode_head.num_classes': 6, 'model.auxiliary_head.num_classes': 6}
    message = r'model\.decode_head\.num_classes is 6 and .*auxiliary.* but SyntheticScenes has 8 classes'
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(config(root, tmp_path, **wrong)).train()


def test_at_least_one_image():
    with pytest.raises(ValueError, match='images must be at least 1, got 0'):
        SegmentationReportHook(images=0)
