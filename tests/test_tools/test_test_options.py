"""The options of tools/test.py beyond the metrics: what they write, and what they refuse."""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import load
from PIL import Image

from rsmamba_mm.apis import add_test_arguments, prepare_test
from rsmamba_mm.apis.runner import load_config
from rsmamba_mm.datasets import SCENE_MASK_PALETTE
from rsmamba_mm.errors import MissingDataError, OptionError

LOVEDA = Path(__file__).parents[3] / 'shared/data/mmseg_samples/pseudo_loveda_dataset'
NAMES = [
    f'{i:06d}_{name}' for i, name in enumerate(('beach', 'crop_field', 'crossroads', 'forest', 'harbor'))
]
FILES = """
_base_ = '{base}'
model = dict(decode_head=dict(num_classes=7), auxiliary_head=dict(num_classes=7))
test_dataloader = dict(dataset=dict(
    _delete_=True,
    type='LoveDADataset',
    data_root='{folder}',
    data_prefix=dict(img_path='img_dir'{masks}),
    img_suffix='.png',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(128, 128), keep_ratio=True),
        {annotations}
        dict(type='PackSegInputs'),
    ],
))
"""


def parsed(model, work_dir, *options):
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_test_arguments(parser)
    return parser.parse_args(list(map(str, (*model, '--work-dir', work_dir, *options))))


def run(model, work_dir, *options) -> dict:
    return prepare_test(parsed(model, work_dir, *options)).test()


def png(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder) -> list[str]:
    return sorted(
        path.relative_to(folder).with_suffix('').as_posix() for path in Path(folder).rglob('*.png')
    )


@pytest.fixture(scope='session')
def files(land_cover, trained, tmp_path_factory):
    """A segmenter of images in files: two of one name, with masks from 1, and one more."""
    folder = tmp_path_factory.mktemp('files')
    generator = np.random.default_rng(0)
    for name in ('rural/0', 'urban/0', 'urban/1'):
        for kind, shape in (('img_dir', (40, 48, 3)), ('ann_dir', (40, 48))):
            path = folder / kind / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256 if kind == 'img_dir' else 8, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    config = folder / 'files.py'
    parts = dict(masks=", seg_map_path='ann_dir'", annotations="dict(type='LoadAnnotations'),")
    config.write_text(FILES.format(base=land_cover.config, folder=folder, **parts))
    return trained(config)


def test_predictions_and_metrics_of_a_classifier(scenes, tmp_path):
    metrics = run(scenes, tmp_path, '--out', tmp_path / 'new/m.json', '--out-item', 'metrics')
    assert json.loads((tmp_path / 'new/m.json').read_text()) == pytest.approx(metrics)
    again = run(scenes, tmp_path, '--out', tmp_path / 'm.yml', '--out-item', 'metrics')
    assert load(tmp_path / 'm.yml') == pytest.approx(again)
    run(scenes, tmp_path, '--out', tmp_path / 'p.pkl', '--out-item', 'pred')
    assert [tuple(sample['pred_score'].shape) for sample in load(tmp_path / 'p.pkl')] == [(12,)] * 5


@pytest.mark.parametrize('augmented', [(), ('--tta',)])
def test_pictures_of_a_classifier(scenes, tmp_path, augmented):
    run(scenes, tmp_path, '--show-dir', tmp_path / 'show', '--interval', 2, *augmented)
    assert names(tmp_path / 'show') == NAMES[::2]
    assert png(tmp_path / f'show/{NAMES[0]}.png').shape == (320, 660, 3)


def test_maps_of_a_segmenter(land_cover, tmp_path):
    run(land_cover, tmp_path, '--out', tmp_path / 'p.pkl')
    predicted = {Path(s['img_path']).stem: s['pred_sem_seg']['data'][0] for s in load(tmp_path / 'p.pkl')}
    run(land_cover, tmp_path, '--out', tmp_path / 'maps', '--show-dir', tmp_path / 'show')
    run(land_cover, tmp_path, '--out', tmp_path / 'rgb', '--rgb')
    assert names(tmp_path / 'maps') == names(tmp_path / 'rgb') == names(tmp_path / 'show') == NAMES
    for name, labels in predicted.items():
        assert (png(tmp_path / f'maps/{name}.png') == labels.numpy()).all()
        colours = np.uint8(SCENE_MASK_PALETTE)[labels.numpy()]
        assert (png(tmp_path / f'rgb/{name}.png') == colours).all()


def test_metrics_of_a_segmenter(land_cover, reads, tmp_path):
    metrics = run(land_cover, tmp_path, '--out', tmp_path / 'm.json', '--out-item', 'metrics')
    assert 'mIoU' in metrics and reads == [str(land_cover.checkpoint)]
    assert json.loads((tmp_path / 'm.json').read_text()) == pytest.approx(metrics, nan_ok=True)


def test_maps_have_the_labels_of_the_masks(files, tmp_path):
    run(files, tmp_path, '--out', tmp_path / 'p.pkl')
    run(files, tmp_path, '--out', tmp_path / 'maps')
    assert names(tmp_path / 'maps') == ['rural/0', 'urban/0', 'urban/1']
    for sample in load(tmp_path / 'p.pkl'):
        name = Path(sample['img_path']).relative_to(files.config.parent / 'img_dir')
        labels = sample['pred_sem_seg']['data'][0].numpy()
        assert labels.shape == (40, 48) and labels.max() < 7
        assert (png(tmp_path / 'maps' / name) == labels + 1).all()  # reduce_zero_label


@pytest.mark.parametrize('augmented', [(), ('--tta',)])
def test_without_ground_truth(files, tmp_path, augmented):
    run(files, tmp_path, '--out', tmp_path / 'p.pkl', *augmented)
    options = ('test_dataloader.dataset.data_prefix.seg_map_path=nowhere',)
    metrics = run(
        files, tmp_path, '--format-only', '--out', tmp_path / 'maps', *augmented, '--cfg-options', *options
    )
    assert metrics == {}
    for sample in load(tmp_path / 'p.pkl'):
        name = Path(sample['img_path']).relative_to(files.config.parent / 'img_dir')
        assert (png(tmp_path / 'maps' / name) == sample['pred_sem_seg']['data'][0].numpy()).all()


@pytest.mark.skipif(not LOVEDA.is_dir(), reason='the samples of LoveDA are not here')
@pytest.mark.slow
def test_loveda_as_its_server_asks(land_cover, trained, tmp_path):
    (tmp_path / 'configs').mkdir()  # a run writes its own into the work dir
    config = tmp_path / 'configs/loveda.py'
    config.write_text(FILES.format(base=land_cover.config, folder=LOVEDA, masks='', annotations=''))
    model = trained(config)
    with pytest.raises(MissingDataError, match=r'no masks to compare with: .*--format-only --out FOLDER'):
        run(model, tmp_path)
    out, show = tmp_path / 'maps', tmp_path / 'show'
    run(model, tmp_path, '--format-only', '--out', out, '--show-dir', show, '--interval', 3)
    assert sorted(os.listdir(out)) == sorted(os.listdir(LOVEDA / 'img_dir')) == ['0.png', '1.png', '2.png']
    found = np.stack([png(out / f'{i}.png') for i in range(3)])
    assert found.dtype == np.uint8 and found.shape == (3, 1024, 1024)
    assert found.min() == 0 and found.max() <= 6
    assert png(show / '0.png').shape[1] == 2 * 1024 + 8  # image and prediction, no truth
    # a metric that does not evaluate says the same
    run(model, tmp_path, '--out', tmp_path / 'again', '--cfg-options', 'test_evaluator.format_only=True')
    assert (png(tmp_path / 'again/0.png') == found[0]).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--rgb',), r'--rgb is for segmenters: .*scenes\.py is a classifier'),
        (('--format-only',), '--format-only is for segmenters'),
        (('--out', 'folder'), r'predictions are written as \.pkl, got folder'),
        (('--out-item', 'metrics'), '--out-item metrics: where to'),
        (('--out', 'm.txt', '--out-item', 'metrics'), r'metrics are written as \.json, .*, got m\.txt'),
        (('--interval', 3), '--interval is of the pictures that --show-dir'),
        (('--interval', 0, '--show-dir', 'x'), '--interval must be at least 1, got 0'),
        (('--show-dir', __file__), r'--show-dir: .*test_test_options\.py is a file'),
    ],
)
def test_refused_of_a_classifier(scenes, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        prepare_test(parsed(scenes, tmp_path, *options))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--rgb',), '--rgb needs a folder for the maps: --out FOLDER'),
        (('--rgb', '--out', 'p.pkl'), '--rgb needs a folder'),
        (('--format-only',), '--format-only needs a folder'),
        (('--out', 'm.json'), r'a folder for the maps, or a \.pkl .*got m\.json'),
    ],
)
def test_refused_of_a_segmenter(land_cover, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        prepare_test(parsed(land_cover, tmp_path, *options))


def test_checkpoint_of_other_classes_is_refused(scenes, tmp_path):
    message = r'head\.fc\.weight of shape \(12, 64\) and was trained on 12 classes \(beach, .*has \(5, 64\)'
    with pytest.raises(OptionError, match=message):
        prepare_test(parsed(scenes, tmp_path, '--cfg-options', 'model.head.num_classes=5'))


def test_a_base_that_the_environment_names_is_not_there(root, monkeypatch, tmp_path):
    monkeypatch.setenv('SCENES', 'nowhere')
    config = root / 'configs/baselines/resnet18_224px.py'
    message = (
        r'baseline_224px\.py: its base .*nowhere_224px\.py is not there\. .*SCENES is .nowhere.; it may be '
        r'aid, .*resisc45, ucmerced, ucmerced-half\.'
    )
    with pytest.raises(OptionError, match=message):
        load_config(parsed((config, 'x.pth'), tmp_path))
    (tmp_path / 'mine.py').write_text("_base_ = './gone.py'\n")
    with pytest.raises(OptionError, match=r'mine\.py: its base .*gone\.py is not there\.$'):
        load_config(parsed((tmp_path / 'mine.py', 'x.pth'), tmp_path))


def test_runs_of_other_recipes_and_data_do_not_share_a_folder(root, monkeypatch, tmp_path):
    (tmp_path / 'ours.py').write_text("recipe = 'ours'\n")
    (tmp_path / 'released.py').write_text("recipe = 'released'\n")
    config = tmp_path / 'model_aid.py'
    config.write_text("_base_ = './{{$RECIPE:ours}}.py'\n")

    def work_dir(path, **environment):
        for variable in ('RECIPE', 'SCENES'):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        args = parsed((path, 'x.pth'), '')
        args.work_dir = None
        return load_config(args).work_dir

    assert work_dir(config) == work_dir(config, RECIPE='ours') == 'work_dirs/model_aid'
    assert work_dir(config, RECIPE='released') == 'work_dirs/model_aid_released'
    assert work_dir(tmp_path / 'released.py') == 'work_dirs/released'
    assert work_dir(config, SCENES='resisc45') == 'work_dirs/model_aid'  # it does not read that
    baseline = root / 'configs/baselines/resnet18_224px.py'
    assert work_dir(baseline) == 'work_dirs/resnet18_224px'
    assert work_dir(baseline, SCENES='aid') == 'work_dirs/resnet18_224px_aid'


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='the ranks would take the GPU')
def test_two_ranks_write_theirs(root, land_cover, tmp_path):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = str(s.getsockname()[1])
    options = ('--out', tmp_path / 'maps', '--show-dir', tmp_path / 'show', '--work-dir', tmp_path)
    result = subprocess.run(
        ['bash', 'tools/dist_test.sh', *map(str, (*land_cover, 2, *options))],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', 'MASTER_PORT': port},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert names(tmp_path / 'maps') == names(tmp_path / 'show') == NAMES


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize('tool', ['mmpretrain', 'mmseg'])
def test_openmmlabs_own_test(root, scenes, land_cover, tmp_path, tool):
    model = dict(mmpretrain=scenes, mmseg=land_cover)[tool]
    options = ('--work-dir', tmp_path / 'run', '--show-dir', tmp_path / 'show')
    result = subprocess.run(
        [sys.executable, '-m', 'rsmamba_mm.run', f'{tool}::test', *map(str, (*model, *options))],
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    drawn = sorted((tmp_path / 'show').rglob('*.png'))
    assert len(drawn) == 5 and drawn[0].name.startswith('000000_beach')
    assert len(np.unique(png(drawn[0]))) > 50
