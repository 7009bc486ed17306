"""Every config is built and takes real steps on a miniature data set."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

import rsmamba_mm

CONFIGS = sorted(
    path for path in (Path(__file__).parents[1] / 'configs').glob('*/*.py') if path.parent.name != '_base_'
)


def published_folder(name: str, work_dir: Path) -> Path:
    """The data set as downloaded, two small images a class, with the authors' lists."""
    folder = work_dir / name
    if folder.exists():
        return folder
    lines = []
    for label in getattr(rsmamba_mm, name).METAINFO['classes']:
        (folder / label).mkdir(parents=True)
        for index in range(2):
            image = np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8)
            cv2.imwrite(str(folder / label / f'{label}{index}.png'), image)
            lines.append(f'{label}/{label}{index}.tif\n')
    for part in ('train', 'val'):
        (folder / f'{part}.txt').write_text(''.join(lines))
    return folder


def miniature(cfg: Config, scene_folder: Path, work_dir: Path) -> Config:
    """An iteration or two on a few images, everything else as the config says."""
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        dataset = loader.dataset
        if dataset.type == 'SyntheticScenes':
            dataset.num_images = 4
        elif dataset.type in ('UCMerced', 'AID', 'RESISC45'):
            folder = published_folder(dataset.type, work_dir)
            dataset.update(data_root=str(folder), indices=2)
            dataset.update(dict(holdout=0.5) if 'holdout' in dataset else {})
        else:
            listed = sorted(scene_folder.glob('*/*.png'))[::8]
            lines = (f'{path.relative_to(scene_folder)} {i % 2}\n' for i, path in enumerate(listed))
            annotations = work_dir / f'{split}.txt'
            annotations.write_text(''.join(lines))
            dataset.update(data_root=str(scene_folder), ann_file=str(annotations))
            dataset.metainfo = dict(classes=('a', 'b'))
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.checkpoint.update(interval=-1, save_best=None)  # saved by the tests of the tools
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir = str(work_dir)
    return cfg


TINY = [path for path in CONFIGS if path.stem.startswith('rsmamba-t')]
BIG = [path for path in CONFIGS if path not in TINY]


@pytest.mark.parametrize(
    'path',
    [pytest.param(path, marks=pytest.mark.smoke) for path in TINY]
    + [pytest.param(path, marks=pytest.mark.slow) for path in BIG],
    ids=lambda path: path.stem,
)
def test_config_trains_validates_and_tests(path, scene_folder, tmp_path):
    runner = Runner.from_cfg(miniature(Config.fromfile(path), scene_folder, tmp_path))
    without = dict(runner.model.named_parameters())
    for name, p in runner.model.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: without.pop(name, None))
    runner.train()
    assert not without, f'parameters without a gradient: {list(without)}'
    assert 0 <= runner.test()['accuracy/top1'] <= 100


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_weight_decay_spares_what_it_should(path):
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import MODELS, init_default_scope

    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decay = {p: group['weight_decay'] for group in optimizer.param_groups for p in group['params']}
    for name, p in model.named_parameters():
        spared = name.endswith(('A_log', '.D', 'bias', 'pos_embed', 'cls_token')) or (
            'norm' in name or '.ln' in name
        )
        assert (decay[p] == 0) == spared, name


def test_readme_lists_every_config():
    for path in CONFIGS:
        assert path.name in (path.parent / 'README.md').read_text(), path.name
