"""Nothing of a stranger's checkpoint runs, whichever way it is loaded; the message says what to do."""

import io
import pickle
import re
import warnings

import hostile
import pytest
import torch
from commands import call
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint

import rsmamba_mm.datasets
import rsmamba_mm.models  # noqa: F401
from rsmamba_mm import safe_loading
from rsmamba_mm.apis.runner import read_config
from rsmamba_mm.checkpoint_config import parse_config
from rsmamba_mm.errors import CheckpointError, OptionError, UserError

SCENES = """
_base_ = '{root}/configs/rsmamba/rsmamba-t_synthetic-128px.py'
model = dict(backbone=dict(
    arch=dict(embed_dims=8, num_layers=1, feedforward_channels=16), img_size=32, patch_cfg=dict(stride=16)
), head=dict(in_channels=8))
test_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(num_images=4, img_size=32))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(num_images=4, img_size=32)
)
custom_hooks = []
"""


@pytest.fixture
def canary(tmp_path):
    (tmp_path / 'trap').mkdir()
    return tmp_path / 'trap' / 'canary'


@pytest.fixture(autouse=True)
def forbidden(monkeypatch):
    monkeypatch.delenv(safe_loading.VARIABLE, raising=False)


@pytest.fixture(scope='module')
def config(root, tmp_path_factory):
    pytest.importorskip('mmpretrain')
    path = tmp_path_factory.mktemp('config') / 'scenes.py'
    path.write_text(SCENES.format(root=root))
    return path


@pytest.fixture(scope='module')
def runner(config):
    cfg = Config.fromfile(config)
    cfg.work_dir = str(config.parent / 'work_dir')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.from_cfg(cfg)


class Layer(BaseModule):
    def __init__(self, checkpoint):
        super().__init__(dict(type='Pretrained', checkpoint=checkpoint))
        self.weight = torch.nn.Parameter(torch.zeros(2))


def load_from(path, config, runner):
    runner._load_from, runner._resume, runner._has_loaded = path, False, False
    runner.load_or_resume()


def resume(path, config, runner):
    runner._load_from, runner._resume, runner._has_loaded = path, True, False
    runner.load_or_resume()


def init_cfg(path, config, runner):
    Layer(path).init_weights()


def plain_load(path, config, runner):
    load_checkpoint(torch.nn.Linear(2, 2), path)


def classifier(path, config, runner):
    from mmpretrain import ImageClassificationInferencer

    ImageClassificationInferencer(Config.fromfile(config), path, device='cpu')


def segmenter(path, config, runner):
    from mmseg.apis import MMSegInferencer

    MMSegInferencer(None, weights=path, device='cpu')


def predictor(path, config, runner):
    from rsmamba_mm.apis.inference import ImagePredictor

    ImagePredictor(str(config), path, device='cpu')


def tool(name, *arguments):
    done = call(name, *arguments)
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        raise OptionError(done.stderr)


def test_tool(path, config, runner):
    tool('test.py', config, path)


def train_tool(path, config, runner):
    tool('train.py', config, '--resume', path, '--work-dir', config.parent / 'train')


CONVERTER = 'model_converters/released_to_mm.py'


def convert_rsmamba(path, config, runner):
    tool(CONVERTER, 'rsmamba', path, config.parent / 'out.pth', '--config', config)


def convert_unetmamba(path, config, runner):
    tool(CONVERTER, 'unetmamba', path, config.parent / 'out.pth')


def convert_rest(path, config, runner):
    tool(CONVERTER, 'rest', path, config.parent / 'out.pth')


def publish(path, config, runner):
    tool('model_converters/publish_model.py', config, path, config.parent / 'published')


test_tool.__test__ = False
QUICK = (load_from, resume, init_cfg, plain_load, classifier, segmenter)
SLOW = (predictor, test_tool, train_tool)
CONVERTERS = (convert_rsmamba, convert_unetmamba, convert_rest, publish)
# a tool's parser breaks no lines
ADVICE = (
    r'fetch or write it again|if you trust who made it|earlier checkpoint|Take the config|pass the config'
)


def attempt(way, path, canary, config, runner):
    """Load in one way; the file must be refused by its name, and nothing of it have run."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with pytest.raises((UserError, CheckpointError)) as refusal:
            way(str(path), config, runner)
    assert not canary.exists(), 'code of the file was run'
    assert path.name in str(refusal.value)
    return str(refusal.value)


def test_there_are_enough():
    assert len(set(hostile.FILES)) + len(hostile.CONFIGS) >= 60


@pytest.mark.parametrize('kind', hostile.CALLS)
def test_the_attacks_are_real(kind, tmp_path, canary):
    path = hostile.write(kind, tmp_path, canary)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            torch.load(path, weights_only=False)
        except Exception as error:  # some end so, after they ran
            assert canary.exists(), error
    assert canary.exists()


@pytest.mark.parametrize('name', hostile.FILES)
def test_nothing_runs(name, tmp_path, canary, config, runner):
    pytest.importorskip('mmseg')
    if name.endswith('.safetensors'):
        pytest.importorskip('safetensors')
    path = hostile.write(name, tmp_path, canary)
    for way in QUICK:
        assert re.search(ADVICE, attempt(way, path, canary, config, runner))


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('os.system', 'asks for what is not data: .*system'),
        ('globals walk', "asks for what is not data: Trying to get '__globals__'"),
        ('forged dtype', "Trying to make an array of 'O8'"),
        ('truncated end', 'its end is missing'),
        ('web page', 'it is another kind of file'),
        ('empty', 'it is empty'),
        ('TorchScript', 'it is a TorchScript program'),
        ('zip bomb', 'its entries are compressed'),
        ('overlapping zip', 'its entries overlap'),
        ('tar', 'it is a tar archive'),
        ('a list', 'it holds a list, not a dict of tensors'),
        ('expanded tensor', r'w of shape \(1048576, 1048576\) is larger than what is stored'),
        ('NaN', 'weight has values that are not a number'),
    ],
)
def test_what_was_wrong(name, said, tmp_path, canary):
    with pytest.raises(CheckpointError, match=said):
        safe_loading.load(hostile.write(name, tmp_path, canary))


@pytest.mark.slow
@pytest.mark.parametrize('name', hostile.FILES)
def test_nothing_runs_in_tools(name, tmp_path, canary, config, runner):
    if name.endswith('.safetensors'):
        pytest.importorskip('safetensors')
    path = hostile.write(name, tmp_path, canary)
    for way in SLOW:
        attempt(way, path, canary, config, runner)


@pytest.mark.parametrize('name', hostile.FILES)
def test_nothing_runs_in_converters(name, tmp_path, canary, config, runner):
    pytest.importorskip('mmpretrain')
    if name.endswith('.safetensors'):
        pytest.importorskip('safetensors')
    path = hostile.write(name, tmp_path, canary)
    for way in CONVERTERS:
        attempt(way, path, canary, config, runner)


@pytest.mark.parametrize('place', ['cfg', 'hub', 'config'])
@pytest.mark.parametrize('name', hostile.CONFIGS)
def test_config_text_is_data(name, place, tmp_path, canary, config, runner):
    pytest.importorskip('mmseg')
    path = hostile.write_config(name, tmp_path, canary, place)
    message = attempt(segmenter, path, canary, config, runner)
    assert 'ass the config file' in message
    # which of these load a config text, and must not run it
    for way in (init_cfg, plain_load):
        way(str(path), config, runner)
    for way in (load_from, resume):
        with pytest.raises(OptionError, match=r'is of another model|weights alone'):
            way(str(path), config, runner)
    assert not canary.exists()


@pytest.mark.parametrize('name', ['code', 'in a value', 'comprehension', 'base'])
def test_the_config_attacks_are_real(name, tmp_path, canary):
    path = hostile.write_config(name, tmp_path, canary, 'cfg')
    text = torch.load(path, weights_only=True)['meta']['cfg']
    Config.fromstring(text, '.py')
    assert canary.exists()


def test_a_type_is_real(tmp_path, canary):
    from mmengine.registry import MODELS

    path = hostile.write_config('type', tmp_path, canary, 'cfg')
    cfg = Config.fromstring(torch.load(path, weights_only=True)['meta']['cfg'], '.py')
    with pytest.raises(Exception):  # noqa: B017 - what os.mkdir returns is no model
        MODELS.build(cfg.model)
        raise ValueError
    assert canary.exists()


@pytest.mark.slow
def test_a_config_in_yaml_is_data(tmp_path, canary):
    config = tmp_path / 'config.yaml'
    config.write_text(f'model: !!python/object/apply:os.mkdir ["{canary}"]\n')
    with pytest.raises(
        OptionError, match=r'config\.yaml cannot be read \(ConstructorError: could not determine'
    ):
        read_config(str(config))
    assert not canary.exists()
    Config(dict(model=dict(type='RSMamba', patch_size=(16, 16)))).dump(config)  # as MMEngine writes a tuple
    assert read_config(str(config)).model.patch_size == (16, 16)


def test_own_configs_are_usable(root):
    for path in sorted((root / 'configs').glob('*/*-b_*.py')) + sorted(
        (root / 'configs').glob('unet*/unet*.py')
    ):
        cfg = Config.fromfile(path)
        parsed = parse_config(cfg.pretty_text, 'x.pth')
        assert parsed['model'] == cfg.model.to_dict(), path


def test_inferencer_takes_the_config_of_its_own_checkpoint(root, tmp_path):
    mmseg = pytest.importorskip('mmseg.apis')
    from mmengine.registry import MODELS

    cfg = Config.fromfile(root / 'configs/unetmamba/unetmamba_tiny_synthetic-128x128.py')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=['a'] * 6, palette=[[0, 0, 0]] * 6))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'own.pth')
    inferencer = mmseg.MMSegInferencer(None, weights=str(tmp_path / 'own.pth'), device='cpu')
    assert type(inferencer.model).__name__ == cfg.model.type.rpartition('.')[2]


def test_allowed(tmp_path, canary, monkeypatch):
    path = hostile.write('exec', tmp_path, canary)
    monkeypatch.setenv(safe_loading.VARIABLE, '1')
    with pytest.warns(UserWarning, match=r'exec\.pth is unpickled as allowed, and may run any code'):
        load_checkpoint(torch.nn.Linear(2, 2), str(path))
    assert canary.exists()


def test_option_of_the_tools(tmp_path, canary, config, monkeypatch):
    monkeypatch.setenv(safe_loading.VARIABLE, '')  # undone after the test
    path = hostile.write('exec', tmp_path, canary)
    with pytest.warns(UserWarning, match='unpickled as allowed'):
        call('test.py', config, path, '--allow-pickle')
    assert canary.exists()


def test_old_torch(tmp_path, monkeypatch, config):
    monkeypatch.setattr(torch, '__version__', '2.9.1')
    path = tmp_path / 'good.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(2))), path)
    safe_loading._warn_of_old_torch.cache_clear()
    with pytest.warns(UserWarning, match=r'PyTorch 2\.9\.1 reads .*good\.pth by a loader .* update'):
        safe_loading.load(path)
    with pytest.raises(CheckpointError, match=r'https://x\.org/a\.pth is not read by PyTorch 2\.9\.1'):
        load_checkpoint(torch.nn.Linear(2, 2), 'https://x.org/a.pth')
    with pytest.raises(OptionError, match=r'good\.pth is not read by PyTorch 2\.9\.1.*--allow-pickle'):
        convert_unetmamba(path, config, None)


@pytest.mark.parametrize('name', ['exec', 'globals walk', 'zip bomb'])
def test_address(name, tmp_path, canary, monkeypatch):
    path = hostile.write(name, tmp_path, canary)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))

    def fetch(url, file, *args, **kwargs):
        (tmp_path / 'hub/checkpoints/a.pth').write_bytes(path.read_bytes())

    monkeypatch.setattr(torch.hub, 'download_url_to_file', fetch)
    with pytest.raises(CheckpointError, match=r'a\.pth cannot be read'):
        load_checkpoint(torch.nn.Linear(2, 2), 'https://x.org/a.pth')
    assert not canary.exists()


def test_numbers_stay_numbers(tmp_path):
    import numpy as np

    content = dict(state_dict=dict(w=torch.ones(1)), a=np.arange(6.0).reshape(2, 3).T, b=np.int64(3))
    torch.save(content, tmp_path / 'a.pth')
    read = safe_loading.load(tmp_path / 'a.pth')
    assert np.array_equal(read['a'], content['a']) and read['b'] == 3
    again = io.BytesIO()
    pickle.dump(read['a'], again)
    assert b'rsmamba' not in again.getvalue() and b'trusted' not in again.getvalue()


def test_safetensors(tmp_path):
    pytest.importorskip('safetensors')
    tensors = dict(weight=torch.randn(2, 2), bias=torch.randn(2))
    path = tmp_path / 'model.safetensors'
    safe_loading.save_safetensors(tensors, path, dict(dataset_meta=dict(classes=['a'])))
    model = torch.nn.Linear(2, 2)
    assert load_checkpoint(model, str(path))['meta'] == dict(dataset_meta=dict(classes=['a']))
    assert torch.equal(model.weight, tensors['weight'])
