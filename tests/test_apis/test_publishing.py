"""Published folders give the same predictions, and cannot run anything."""

import json

import cv2
import numpy as np
import pytest
import torch
from commands import call
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

import rsmamba_mm.datasets
import rsmamba_mm.models
from rsmamba_mm.apis import load_pretrained, publish_model
from rsmamba_mm.apis.inference import ImagePredictor
from rsmamba_mm.errors import CheckpointError, MissingDataError, MissingExtraError, OptionError

pytest.importorskip('mmpretrain')
pytest.importorskip('mmseg')
pytest.importorskip('safetensors')
CONFIGS = dict(
    scenes='rsmamba/rsmamba-t_synthetic-128px.py',
    land_cover='unetmamba/unetmamba_tiny_synthetic-128x128.py',
)
TOOL = 'model_converters/publish_model.py'


@pytest.fixture(scope='module', params=CONFIGS)
def trained(request, root, tmp_path_factory):
    """Config and a checkpoint as a training with EMA leaves it."""
    from mmengine.registry import DATASETS

    path = root / 'configs' / CONFIGS[request.param]
    cfg = Config.fromfile(path)
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        meta = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[])).metainfo
    content = dict(
        state_dict=model.state_dict(),
        ema_state_dict={f'module.{name}': torch.zeros_like(t) for name, t in model.state_dict().items()},
        optimizer=dict(state={0: torch.ones(1000)}),
        message_hub=dict(runtime_info=dict(best_score=np.float64(0.5))),
        meta=dict(dataset_meta=meta),
    )
    checkpoint = tmp_path_factory.mktemp('trained') / 'best.pth'
    torch.save(content, checkpoint)
    return str(path), str(checkpoint)


@pytest.fixture(scope='module')
def published(trained, tmp_path_factory):
    return publish_model(
        *trained, tmp_path_factory.mktemp('out'), license='CC-BY-4.0', command='train.py x'
    )


def test_same_predictions(trained, published, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'x.png'), image)
    predictions = [
        next(ImagePredictor(*map(str, files), device='cpu').predict([tmp_path / 'x.png']))
        for files in (trained, (published / 'config.json', published / 'model.safetensors'))
    ]
    for kind in ('scores', 'labels'):
        first, second = (getattr(p, kind, None) for p in predictions)
        assert first is None or np.array_equal(first, second)
    assert predictions[0].classes == predictions[1].classes


def test_what_is_in_it(published):
    from rsmamba_mm.safe_loading import load

    content = load(published / 'model.safetensors')
    assert set(content) == {'state_dict', 'meta'} and content['meta']['dataset_meta']['classes']
    assert not any(name.startswith('auxiliary_head') for name in content['state_dict'])
    described = json.loads((published / 'config.json').read_text())
    assert published.name.endswith(described['sha256'][:8])
    card = (published / 'README.md').read_text()
    for part in ('license: cc-by-4.0', 'train.py x', 'best validation score | 0.5', 'Data set: Synthetic'):
        assert part in card


def test_load_pretrained(published):
    model = load_pretrained(published)
    assert not model.training and model.dataset_meta['classes']
    image = np.zeros((128, 128, 3), np.uint8)
    if hasattr(model, 'head'):
        from mmpretrain import ImageClassificationInferencer

        assert ImageClassificationInferencer(model)(image)[0]['pred_class'] in model.dataset_meta['classes']
    else:
        from mmseg.apis import inference_model

        assert inference_model(model, image).pred_sem_seg.data.shape == (1, 128, 128)


def test_a_model_that_the_package_carries(trained, tmp_path, monkeypatch):
    from rsmamba_mm import zoo
    from rsmamba_mm.apis import LandCoverSegmenter, SceneClassifier, publishing

    folder = publish_model(*trained, tmp_path / 'zoo', half=True)
    folder = folder.rename(folder.with_name('tiny'))
    whole = publish_model(*trained, tmp_path) / 'model.safetensors'
    assert (folder / 'model.safetensors').stat().st_size < 0.6 * whole.stat().st_size
    for module in (zoo, publishing):
        monkeypatch.setattr(module, 'ZOO', tmp_path / 'zoo')
    assert zoo.zoo_models() == ['tiny']
    kind = SceneClassifier if 'rsmamba/' in trained[0] else LandCoverSegmenter
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    model, full = kind('tiny', device='cpu'), kind(*trained, device='cpu')
    assert next(model.model.parameters()).dtype == torch.float32 and model.classes == full.classes
    assert load_pretrained('tiny').dataset_meta['classes'] == model.classes
    if kind is SceneClassifier:
        assert torch.allclose(model.scores([image]), full.scores([image]), atol=1e-2)
    else:
        assert (model(image).labels == full(image).labels).mean() > 0.9
    for source, message in (
        ('tinny', r'tinny is no model of the package, nor a folder of .*: did you mean tiny\?'),
        (trained[0], r'a config needs a checkpoint beside it: name both'),
    ):
        with pytest.raises(OptionError, match=message):
            kind(source)


def test_a_student_is_published_without_its_teacher(root, tmp_path):
    config = root / 'configs/rsmamba/rsmamba-t_stem-distilled_ucmerced-128px.py'
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    meta = dict(dataset_meta=rsmamba_mm.UCMerced.METAINFO)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'student.pth')
    folder = publish_model(
        str(config), str(tmp_path / 'student.pth'), tmp_path / 'out', license='MIT', command='train.py x'
    )
    described = json.loads((folder / 'config.json').read_text())['model']
    assert described['type'] == 'ImageClassifier'
    assert set(described) <= {'type', 'backbone', 'neck', 'head', 'data_preprocessor'}
    image = torch.rand(1, 3, 128, 128)
    torch.testing.assert_close(load_pretrained(folder)(image), model.eval()(image))


def test_last_step(trained, tmp_path):
    folder = publish_model(*trained, tmp_path, ema='last')
    assert all(not t.any() for t in load_pretrained(folder).parameters())


def test_hub_mixin(published):
    hub = pytest.importorskip('huggingface_hub')
    from mmengine.registry import MODELS, DefaultScope

    class Published(torch.nn.Module, hub.PyTorchModelHubMixin):
        def __init__(self, model, default_scope, **others):
            super().__init__()
            with DefaultScope.overwrite_default_scope(default_scope):
                built = MODELS.build(model)
            for name, child in built.named_children():
                self.add_module(name, child)

    read = Published.from_pretrained(published, strict=True)
    own = load_pretrained(published).state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in read.state_dict().items())


def test_refusals(trained, published, tmp_path, monkeypatch):
    with pytest.raises(MissingDataError, match='no published model: /nowhere is no folder'):
        load_pretrained('/nowhere')
    with pytest.raises(MissingDataError, match=r'config\.json is not there'):
        load_pretrained(tmp_path)
    monkeypatch.setitem(__import__('sys').modules, 'huggingface_hub', None)
    with pytest.raises(MissingExtraError, match='pip install huggingface_hub'):
        load_pretrained('owner/model')
    weights, described = (published / name for name in ('model.safetensors', 'config.json'))
    content = json.loads(described.read_text())
    for name, change in (
        ('damaged', dict(sha256='0' * 64)),
        ('hostile', dict(model=dict(type='os.mkdir', path=str(tmp_path / 'canary')))),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / 'model.safetensors').symlink_to(weights)
        (folder / 'config.json').write_text(json.dumps({**content, **change}))
    with pytest.raises(CheckpointError, match=r'model\.safetensors is not the file that was published'):
        load_pretrained(tmp_path / 'damaged')
    with pytest.raises(CheckpointError, match=r"hostile.config\.json is not taken as data \(it names 'os"):
        load_pretrained(tmp_path / 'hostile')
    assert not (tmp_path / 'canary').exists()
    state = torch.load(trained[1])
    del state['ema_state_dict']
    torch.save(state, tmp_path / 'plain.pth')
    with pytest.raises(OptionError, match='trained without EMA'):
        publish_model(trained[0], str(tmp_path / 'plain.pth'), tmp_path, ema='last')
    torch.save(dict(state_dict=dict(x=torch.ones(1))), tmp_path / 'other.pth')
    with pytest.raises(OptionError, match=r'other\.pth: \d+ of \d+ tensors do not fit the model'):
        publish_model(trained[0], str(tmp_path / 'other.pth'), tmp_path)


def test_command_of_the_training(trained, tmp_path):
    import shutil

    shutil.copy(trained[1], tmp_path / 'best.pth')
    for name, tool in (('1', 'train.py'), ('2', 'test.py')):
        (tmp_path / name).mkdir()
        command = dict(command=f'/usr/bin/python3 tools/{tool} x.py')
        (tmp_path / name / 'run.json').write_text(json.dumps(command))
    folder = publish_model(trained[0], str(tmp_path / 'best.pth'), tmp_path / 'out')
    assert 'Trained by: `python tools/train.py x.py`' in (folder / 'README.md').read_text()


def test_command(trained, tmp_path):
    (tmp_path / 'metrics.json').write_text('{"accuracy/top1": 93.25}')
    result = call(TOOL, *trained, tmp_path / 'out', '--metrics', tmp_path / 'metrics.json')
    assert result.returncode == 0, result.stderr
    (folder,) = (tmp_path / 'out').iterdir()
    assert 'accuracy/top1 | 93.25' in (folder / 'README.md').read_text()
    result = call(TOOL, trained[0], 'none.pth', tmp_path)
    assert result.returncode == 2 and 'checkpoint not found: none.pth' in result.stderr
