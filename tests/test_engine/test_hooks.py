"""The hooks within a run on a miniature data set."""

import csv
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

import rsmamba_mm.engine  # noqa: F401


def run(root, scene_folder: Path, work_dir: Path, **model) -> Runner:
    from rsmamba_mm.datasets.folder import find_scenes, write_split

    _, images, labels = find_scenes(scene_folder)
    write_split(images, labels, 0.5, work_dir / 'split')
    cfg = Config.fromfile(root / 'configs/rsmamba/rsmamba-t_folder-128px.py')
    for split, name in (('train', 'train'), ('val', 'train'), ('test', 'val')):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(scene_folder), ann_file=str(work_dir / f'split/{name}.txt'))
        loader.dataset.update(dict(holdout=0.2) if 'holdout' in loader.dataset else {})
    cfg.merge_from_dict(
        {
            'train_cfg.max_epochs': 1,
            'model.head.num_classes': 3,
            'data_preprocessor.num_classes': 3,
            'default_hooks.checkpoint.interval': -1,
            'default_hooks.checkpoint.save_best': None,
            'default_hooks.logger.interval': 1,
            'work_dir': str(work_dir),
            **model,
        }
    )
    return Runner.from_cfg(cfg)


def test_what_a_run_leaves(root, scene_folder, tmp_path):
    runner = run(root, scene_folder, tmp_path)
    runner.train()
    metrics = runner.test()
    keys = ('accuracy/top1', *(f'single-label/{k}' for k in ('precision', 'recall', 'f1-score', 'kappa')))
    assert set(keys) <= set(metrics)
    for name in ('learning_curve', 'confusion_matrix', 'predictions'):
        height, width, _ = cv2.imread(str(Path(runner.log_dir) / f'{name}.png')).shape
        assert height > 300 and width > 300
    *rows, mean = csv.DictReader((Path(runner.log_dir) / 'classes.csv').open())
    assert [row['class'] for row in rows] == ['forest', 'parking_lot', 'runway']
    assert [int(row['images']) for row in rows] == [5, 5, 5]
    assert float(mean['f1']) == pytest.approx(metrics['single-label/f1-score'], abs=0.01)
    assert float(mean['precision']) == pytest.approx(metrics['single-label/precision'], abs=0.01)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (
            {'model.head.num_classes': 5},
            r'model\.head\.num_classes is 5, but SceneFolder has 3 classes \(forest, .*--cfg-options '
            r'model\.head\.num_classes=3',
        ),
        (
            {'data_preprocessor.num_classes': 2},
            r'data_preprocessor\.num_classes is 2, but SceneFolder has 3',
        ),
        (
            {'model.backbone.in_channels': 4, 'model.backbone.init_cfg': None},
            r'mean has 3 values, but the backbone takes 4 bands: .*in_channels=3',
        ),
    ],
)
def test_classes_and_bands_are_checked_before_the_first_step(root, scene_folder, tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        run(root, scene_folder, tmp_path, **option).train()
    with pytest.raises(ValueError, match=message):
        run(root, scene_folder, tmp_path, **option).test()


def test_two_preprocessors_that_differ_are_refused(root, scene_folder, tmp_path):
    """MMEngine would take the one in the model without a word."""
    inside = dict(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], num_classes=3, to_rgb=True)
    runner = run(root, scene_folder, tmp_path, **{'model.data_preprocessor': inside})
    with pytest.raises(
        ValueError, match=r'differ, and the latter is taken: mean is \[.*\] and \[1\.0, 2\.0'
    ):
        runner.train()


def test_equal_ones_are_not(root, scene_folder, tmp_path):
    cfg = Config.fromfile(root / 'configs/rsmamba/rsmamba-t_folder-128px.py')
    inside = dict(cfg.data_preprocessor, num_classes=3)
    runner = run(root, scene_folder, tmp_path, **{'model.data_preprocessor': inside})
    runner.call_hook('before_run')
