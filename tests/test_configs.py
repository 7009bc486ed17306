"""Every config is built and takes real steps on a miniature data set."""

import re
import shlex
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from miniatures import shrink
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

import rsmamba_mm
from rsmamba_mm.apis import prepare_train
from rsmamba_mm.datasets.folder import find_scenes, write_split
from rsmamba_mm.errors import MissingDataError

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / 'configs').glob('*/*.py') if path.parent.name != '_base_')
SEQUENCES = [path for path in CONFIGS if path.parent.name in ('rsmamba', 'vim')]
PRETRAINING = [path for path in CONFIGS if path.stem.startswith(('roma', 'densecl'))]
JUDGED = [path for path in CONFIGS if path not in PRETRAINING]
SEGMENTERS = [path for path in JUDGED if re.search(r'_vaihingen|\d{3}x\d{3}', path.stem)]
BASELINES = [path for path in CONFIGS if path.parent.name == 'baselines']
ABLATIONS = (ROOT / 'configs/rsmamba/README.md').read_text().partition('## Ablations')[2]
COMMANDS = re.findall(r'`python tools/train\.py (.*?)`', ABLATIONS)


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


def raster_folder(folder: Path) -> Path:
    """Two classes of 4-band 16-bit GeoTIFFs."""
    rasterio = pytest.importorskip('rasterio')
    if folder.exists():
        return folder
    for label, level in (('field', 500), ('water', 100)):
        (folder / label).mkdir(parents=True)
        for index in range(8):
            bands = np.random.default_rng(index).integers(level, 4 * level, (4, 40, 50), np.uint16)
            settings = dict(driver='GTiff', count=4, height=40, width=50, dtype='uint16')
            settings.update(crs='EPSG:32633', transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 4e6))
            with rasterio.open(folder / label / f'{index}.tif', 'w', **settings) as raster:
                raster.write(bands)
    return folder


def two_classes(scene_folder: Path, work_dir: Path) -> Path:
    """The first two classes of a folder."""
    folder = work_dir / 'two_classes'
    if not folder.exists():
        folder.mkdir()
        for name in find_scenes(scene_folder)[0][:2]:
            (folder / name).symlink_to(scene_folder / name)
    return folder


def land_cover_folder(folder: Path, classes: int) -> Path:
    """Four images with masks in each part, as mmseg's converters lay them out."""
    for part in ('train', 'val', 'test'):
        for kind, channels, top in (('img_dir', 3, 256), ('ann_dir', 1, classes)):
            place = folder / kind / part
            place.mkdir(parents=True, exist_ok=True)
            for index in range(4):
                generator = np.random.default_rng(index)
                blocks = generator.integers(0, top, (4, 4, channels), np.uint8)
                cv2.imwrite(str(place / f'{index}.png'), blocks.repeat(16, 0).repeat(16, 1))
    return folder


def dubai_folder(folder: Path) -> Path:
    """Two images a tile, with masks in colours."""
    from rsmamba_mm.datasets import DubaiDataset

    colours = np.array([*DubaiDataset.METAINFO['palette'], (0, 0, 0)], np.uint8)[:, ::-1]
    for tile in (1, 2, 3, 4, 5, 7):
        for kind, suffix in (('images', 'jpg'), ('masks', 'png')):
            place = folder / f'tile{tile}' / kind
            place.mkdir(parents=True, exist_ok=True)
            for index in range(2):
                blocks = colours[np.random.default_rng(index).integers(0, len(colours), (3, 4))]
                cv2.imwrite(str(place / f'{index}.{suffix}'), blocks.repeat(20, 0).repeat(20, 1))
    return folder


def uavid_folder(folder: Path) -> Path:
    """A sequence of two images a part, with masks in colours."""
    from rsmamba_mm.datasets import UAVidDataset

    colours = np.array(UAVidDataset.METAINFO['palette'], np.uint8)[:, ::-1]
    for part in ('uavid_train', 'uavid_val'):
        for kind in ('Images', 'Labels'):
            place = folder / part / 'seq1' / kind
            place.mkdir(parents=True, exist_ok=True)
            for index in range(2):
                blocks = colours[np.random.default_rng(index).integers(0, len(colours), (3, 4))]
                cv2.imwrite(str(place / f'{index:06d}.png'), blocks.repeat(20, 0).repeat(20, 1))
    return folder


def miniature(cfg: Config, scene_folder: Path, work_dir: Path) -> Config:
    """An iteration or two on a few images, everything else as the config says but the model's size.

    The whole models are built and counted by the table of models.
    """
    shrink(cfg.model)
    if isinstance(start := cfg.model.backbone.get('init_cfg'), dict) and start.type == 'Pretrained':
        cfg.model.backbone.pop('init_cfg')  # its checkpoint is of a pre-training
    if teacher := cfg.model.get('teacher'):  # its checkpoint is of a training
        teacher.init_cfg.checkpoint = str(work_dir / 'teacher.pth')
        init_default_scope(cfg.default_scope)
        state = MODELS.build(dict(teacher, init_cfg=None)).state_dict()
        classes = getattr(rsmamba_mm, cfg.train_dataloader.dataset.type).METAINFO['classes']
        torch.save(
            dict(state_dict=state, meta=dict(dataset_meta=dict(classes=classes))),
            teacher.init_cfg.checkpoint,
        )
    for split in ('train', 'val', 'test'):
        if (loader := cfg.get(f'{split}_dataloader')) is None:
            continue
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        dataset = loader.dataset
        if dataset.type == 'SyntheticScenes':
            dataset.num_images = 4
            continue
        if dataset.type == 'UnlabelledImages':
            rasters = dataset.pipeline[0].type == 'LoadGeoImage'
            dataset.data_root = str(raster_folder(work_dir / 'r') if rasters else scene_folder)
            dataset.indices = 2
            continue
        if cfg.default_scope == 'mmseg':
            inner = dataset.get('dataset', dataset)
            inner.indices = 2
            inner.update(dict(holdout=0.5) if 'holdout' in inner else {})
            if inner.type == 'DubaiDataset':
                inner.data_root = str(dubai_folder(work_dir / 'dubai'))
            elif inner.type == 'UAVidDataset':
                inner.data_root = str(uavid_folder(work_dir / 'uavid'))
            else:
                classes = cfg.model.decode_head.num_classes
                inner.data_root = str(land_cover_folder(work_dir / 'land_cover', classes))
            continue
        if dataset.type == 'SceneFolder':
            rasters = dataset.pipeline[0].type == 'LoadGeoImage'
            folder = raster_folder(work_dir / 'r') if rasters else two_classes(scene_folder, work_dir)
            _, images, labels = find_scenes(folder)
            write_split(images, labels, 0.5, folder)
        else:
            folder = published_folder(dataset.type, work_dir)
        dataset.update(data_root=str(folder), indices=2)
        dataset.update(dict(holdout=0.5) if 'holdout' in dataset else {})
        for option in ('share', 'rest'):  # there are two images of a class
            dataset.pop(option, None)
    cfg.train_cfg.update(max_epochs=1, **(dict(val_interval=1) if 'val_dataloader' in cfg else {}))
    cfg.default_hooks.checkpoint.update(interval=-1, save_best=None)  # saved by the tests of the tools
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir = str(work_dir)
    return cfg


def fast(path: Path):
    """A parameter: a small config is a test of seconds, the others are slow."""
    small = path.parent.name == 'rsmamba' and path.stem.startswith('rsmamba-t')
    small = small or path.stem == 'roma-mini_synthetic-96px'
    return pytest.param(path, marks=pytest.mark.smoke if small else pytest.mark.slow)


@pytest.fixture
def unsaved_figures(monkeypatch) -> None:
    """Figures are made, not rendered: a third of the time, and done by the tests of the pictures."""
    monkeypatch.setattr(Figure, 'savefig', lambda figure, out, **options: Path(out).touch())


@pytest.mark.usefixtures('unsaved_figures')
@pytest.mark.parametrize('path', [fast(path) for path in CONFIGS], ids=lambda path: path.stem)
def test_config_trains_validates_and_tests(path, scene_folder, tmp_path):
    runner = Runner.from_cfg(miniature(Config.fromfile(path), scene_folder, tmp_path))
    without = {name: p for name, p in runner.model.named_parameters() if p.requires_grad}
    for name, p in list(without.items()):
        p.register_post_accumulate_grad_hook(lambda p, name=name: without.pop(name, None))
    runner.train()
    assert not without, f'parameters without a gradient: {list(without)}'
    if path in PRETRAINING:
        return
    if path.stem.endswith('_server'):
        with pytest.raises(MissingDataError, match='--format-only --out FOLDER'):
            runner.test()
        return
    figures = runner.test()
    key = 'mIoU' if runner.cfg.default_scope == 'mmseg' else 'accuracy/top1'
    assert 0 <= figures[key] <= 100


@pytest.mark.smoke
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_size_is_that_of_the_name(path):
    """224 px where the name has none; the test image is cut from one an eighth larger."""
    size = int((re.search(r'(\d{2,3}(?=px)|\d{3}(?=x\d{3}|$))', path.stem) or [0, 224])[1])
    cfg = Config.fromfile(path)
    transforms = {one.type: one for one in cfg.train_dataloader.dataset.pipeline}
    if cfg.default_scope == 'mmseg':
        assert cfg.data_preprocessor.size == (size, size)
        if 'RandomCrop' in transforms:
            assert transforms['RandomCrop'].crop_size == (size, size)
            assert transforms['NativeMosaic'].size == (224 if 'vaihingen224' in path.stem else 1024)
        return
    if path in PRETRAINING:
        if 'MultiView' in transforms:
            transforms = {one.type: one for one in transforms['MultiView'].transforms[0]}
        crop = transforms.get('RandomResizedCrop') or transforms['RandomCrop']
        assert crop.get('scale', crop.get('crop_size')) == cfg.model.backbone.get('img_size', size) == size
        return
    test = {one.type: one for one in cfg.test_dataloader.dataset.pipeline}
    assert test['CenterCrop'].crop_size == size
    if 'RandomResizedCrop' in transforms:
        assert transforms['RandomResizedCrop'].scale == size
        assert test['ResizeEdge'].scale == size * 8 // 7


@pytest.mark.smoke
@pytest.mark.parametrize('path', JUDGED, ids=lambda path: path.stem)
def test_class_counts_agree(path):
    cfg = Config.fromfile(path)
    heads = [cfg.model[head] for head in ('head', 'decode_head', 'auxiliary_head') if cfg.model.get(head)]
    counts = {head.num_classes for part in heads for head in (part if isinstance(part, list) else [part])}
    if 'num_classes' in cfg:
        counts.add(cfg.num_classes)
    if cfg.default_scope == 'mmpretrain':
        counts.add(cfg.data_preprocessor.num_classes)
    dataset = cfg.test_dataloader.dataset
    kind = getattr(rsmamba_mm, dataset.type, None)
    if (classes := getattr(kind, 'METAINFO', {}).get('classes')) and kind is not rsmamba_mm.SyntheticScenes:
        counts.add(len(classes))
    assert len(counts) == 1, counts


@pytest.mark.smoke
def test_loveda_is_neither_halved_nor_turned():
    def training(name):
        cfg = Config.fromfile(ROOT / f'configs/unetmamba/unetmamba_rest-lite_{name}.py')
        return cfg.train_dataloader.dataset.pipeline

    whole, loveda = training('vaihingen-512x512'), training('loveda-512x512')
    assert [one[0].scale_factor for one in whole[1].transforms] == [0.5, 0.75, 1.0, 1.25, 1.5]
    assert [one[0].scale_factor for one in loveda[1].transforms] == [0.75, 1.0, 1.25, 1.5]
    assert [one for one in whole if one not in loveda] == [
        whole[1],
        dict(type='RandomRotate', prob=0.5, degree=(90, 90), seg_pad_val=255),
        dict(type='RandomFlip', prob=0.5, direction='vertical'),
    ]


@pytest.mark.parametrize('path', SEGMENTERS, ids=lambda path: path.stem)
def test_time_augmentation_is_in_the_config(path):
    """As released: which flips, turns and scales."""
    views = dict(type='D4SegTTAModel')
    if 'loveda' in path.stem:
        views.update(flips=('horizontal',), rotations=(0,), scales=(0.75, 1.0, 1.25, 1.5))
    elif 'potsdam' in path.stem:
        views.update(rotations=(0,), scales=(0.75, 1.0, 1.25, 1.5))
    elif 'vaihingen-' in path.stem:
        views.update(scales=(0.5, 0.75, 1.0, 1.25, 1.5))
    elif 'uavid' in path.stem:  # ours: what stands upright is not turned
        views.update(flips=('horizontal',), rotations=(0,))
    cfg = Config.fromfile(path)
    assert cfg.tta_model == views
    assert cfg.tta_pipeline == cfg.test_dataloader.dataset.pipeline


@pytest.mark.parametrize('path', SEGMENTERS, ids=lambda path: path.stem)
def test_missing_land_cover_is_said_at_once(path, tmp_path):
    cfg = Config.fromfile(path)
    if 'data_root' not in cfg:
        return
    options = dict(config=str(path), resume=None, amp=False, auto_scale_lr=False, no_validate=False)
    options.update(launcher='none', local_rank=0, work_dir=str(tmp_path / 'run'))
    options.update(cfg_options=dict(data_root=str(tmp_path / 'nowhere')))
    with pytest.raises(MissingDataError, match=r'nowhere.*data_root=FOLDER'):
        prepare_train(Namespace(**options)).train()
    assert not (tmp_path / 'run').exists() or 'dubai' in path.stem or 'uavid' in path.stem


@pytest.mark.parametrize('path', SEQUENCES, ids=lambda path: path.stem)
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
            'norm' in name or '.ln' in name or '.bn.' in name
        )
        assert (decay[p] == 0) == spared, name


@pytest.mark.parametrize('scenes', ['ucmerced', 'aid', 'resisc45'])
def test_baselines_take_any_of_the_data_sets(scenes, monkeypatch):
    monkeypatch.setenv('SCENES', scenes)
    kind, classes = dict(ucmerced=('UCMerced', 21), aid=('AID', 30), resisc45=('RESISC45', 45))[scenes]
    for path in (path for path in BASELINES if path.stem.endswith('224px')):
        cfg = Config.fromfile(path)
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == classes
        assert cfg.train_dataloader.dataset.type == cfg.test_dataloader.dataset.type == kind
        assert cfg.model.head.loss == dict(cfg.model.head.loss, label_smooth_val=0.1, mode='original')
        assert [mix.type for mix in cfg.model.train_cfg.augments] == ['Mixup', 'CutMix']


def test_ablations_are_fifteen():
    assert len(COMMANDS) == 15


@pytest.mark.slow
@pytest.mark.usefixtures('unsaved_figures')
@pytest.mark.parametrize('command', COMMANDS)
def test_ablation_command(command, scene_folder, tmp_path):
    path, *options = shlex.split(command)
    cfg = miniature(Config.fromfile(ROOT / path), scene_folder, tmp_path)
    for option in options[1:]:
        key, _, value = option.partition('=')
        cfg.merge_from_dict({key: DictAction._parse_int_float_bool(value)})
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    backbone = runner.model.backbone
    for option in options[1:]:  # it reaches the backbone
        name, _, value = option.removeprefix('model.backbone.').partition('=')
        if name == 'patch_cfg.stride':
            assert backbone.patch_embed.projection.stride == (int(value),) * 2
        elif name == 'path_type':
            assert '_'.join(backbone.orders) == value.removesuffix('_mean').removesuffix('_gate')
        else:
            assert getattr(backbone, name) == value
    runner.train()


@pytest.mark.parametrize('family', sorted({path.parent.name for path in CONFIGS}))
def test_lists_have_every_config(family):
    folder = ROOT / 'configs' / family
    for path in (path for path in CONFIGS if path.parent == folder):
        assert path.name in (folder / 'README.md').read_text(), path.name
        assert str(path.relative_to(ROOT)) in (folder / 'metafile.yml').read_text(), path.name


def check_tables(*families: str) -> None:
    command = [sys.executable, 'tools/analysis_tools/model_table.py', '--check', *families]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_tables_of_models_are_up_to_date():
    check_tables(*{path.parent.name for path in CONFIGS if path.parent.name != 'afmnet'})


@pytest.mark.slow
@pytest.mark.reliability
def test_table_of_large_models_is_up_to_date(tally):
    if not tally.level:
        pytest.skip('its 245 million parameters take a minute: by make reliability')
    check_tables('afmnet')
