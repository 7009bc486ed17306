"""Probes of an encoder beside random weights, on drawn scenes."""

import json

import pytest
import torch
from commands import ROOT, call
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from rsmamba_mm.apis.preflight import check_checkpoint
from rsmamba_mm.apis.probes import Features, encoder, extract_features, knn_probe, linear_probe, probe
from rsmamba_mm.errors import OptionError

pytest.importorskip('mmpretrain')

CONFIG = ROOT / 'configs/roma/clustermamba-mini_linear_synthetic-96px.py'
SMALL = {
    'model.backbone.arch.embed_dims': 16,
    'model.backbone.img_size': 32,
    'model.neck.input_features': 16,
    'model.head.in_channels': 16,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'test_dataloader.num_workers': 0,
    'train_cfg.max_epochs': 1,
}
for part, number in (('train', 24), ('val', 12), ('test', 12)):
    SMALL[f'{part}_dataloader.dataset.num_images'] = number
    SMALL[f'{part}_dataloader.dataset.img_size'] = 32
SMALL['test_dataloader.dataset.pipeline'] = [dict(type='PackInputs')]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Of a RoMA that was never trained."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs/roma/roma-mini_synthetic-96px.py').model
    cfg.backbone.update(arch=dict(embed_dims=16, num_layers=4), img_size=32)
    cfg.neck.update(in_channels=[16])
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('roma') / 'roma.pth'
    torch.save(dict(state_dict=MODELS.build(cfg).state_dict()), path)
    return str(path)


def small() -> Config:
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(SMALL)
    return cfg


def blobs(separation: float) -> Features:
    """Three classes in eight channels, 40 images of each in each part."""
    centres, labels = separation * torch.randn(3, 8), torch.arange(120) % 3
    parts = {
        part: (centres[labels] + torch.randn(120, 8), labels) for part in ('train', 'held_out', 'test')
    }
    return Features(parts, 3)


@pytest.mark.parametrize('classifier', [linear_probe, knn_probe])
def test_classifiers_of_features(classifier):
    for separation, least, most in ((8.0, 1.0, 1.0), (0.0, 0.15, 0.55)):
        features = blobs(separation).normed()
        assert features.parts['train'][0].std(0).sub(1).abs().max() < 1e-3
        right = (classifier(features) == features.parts['test'][1]).float().mean()
        assert least <= right <= most


def test_probes_beside_random_weights(checkpoint, tmp_path):
    options = [f'{key}={value}' for key, value in SMALL.items() if 'pipeline' not in key]
    said = call(
        'probe.py', CONFIG, checkpoint, '--seeds', 2, '--device', 'cpu', '--json', tmp_path / 'found.json',
        '--cfg-options', *options,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert 'random, seed 1: linear, knn done' in said.stdout
    figures = json.loads((tmp_path / 'found.json').read_text())
    assert list(figures) == ['linear', 'knn']
    for sides in figures.values():
        apart = sides['pretrained']['mean'] - sides['random']['mean']
        assert sides['difference']['mean'] == pytest.approx(apart)
        assert sides['difference']['low'] <= apart <= sides['difference']['high']
        assert 0 <= sides['random']['low'] <= sides['random']['mean'] <= sides['random']['high'] <= 100


def test_fine_tuning_beside_random_weights(checkpoint, tmp_path):
    found = probe(small(), checkpoint, ['finetune'], seeds=1, work_dir=tmp_path)
    assert list(found) == ['finetune'] and 0 <= found['finetune']['pretrained'].mean <= 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ['pretrained', 'random']


def test_features_are_those_of_the_checkpoint(checkpoint):
    cfg = small()
    for part in ('train', 'val', 'test'):
        cfg[f'{part}_dataloader'].dataset.num_images = 2
    cfg.model.backbone.init_cfg.checkpoint = checkpoint
    started = [encoder(cfg, seed) for seed in (0, 1)]
    cfg.model.backbone.pop('init_cfg')
    first, second, drawn = (
        features.parts['test'][0] for features in extract_features([*started, encoder(cfg, 0)], cfg)
    )
    assert torch.equal(first, second) and not torch.allclose(first, drawn)


@pytest.mark.parametrize(
    ('config', 'options', 'message'),
    [
        (CONFIG, dict(probes=['svm']), r"probes are some of linear, knn, finetune, .* got \['svm'\]"),
        (CONFIG, {}, r'the checkpoint work_dirs/roma-mini_synthetic-96px/epoch_100\.pth is not there'),
        (
            ROOT / 'configs/roma/clustermamba-mini_linear-random_synthetic-96px.py',
            {},
            r'names no checkpoint of a pre-training \(model.backbone.init_cfg\): give one',
        ),
        (
            ROOT / 'configs/roma/roma-mini_synthetic-96px.py',
            {},
            'a probe needs the config of a classifier on the encoder, .* got a RoMA',
        ),
    ],
    ids=['probe', 'file', 'none', 'pretraining'],
)
def test_refused(config, options, message):
    with pytest.raises(OptionError, match=message):
        probe(Config.fromfile(config), **options)


def test_a_pretraining_is_not_tested_as_a_classifier(checkpoint):
    init_default_scope('mmpretrain')
    model = MODELS.build(small().model)
    with pytest.raises(OptionError, match=r'roma\.pth is of a pre-training, whose backbone has no classes'):
        check_checkpoint(checkpoint, torch.load(checkpoint, weights_only=True), model)


def test_training_from_a_checkpoint_that_is_not_there(tmp_path):
    said = call('train.py', CONFIG, '--work-dir', tmp_path / 'run')
    assert said.returncode == 2 and not (tmp_path / 'run').exists()
    message = (
        'checkpoint (model.backbone.init_cfg) not found: work_dirs/roma-mini_synthetic-96px/epoch_100.pth'
    )
    assert message in said.stderr
