"""Released checkpoints: files of exactly the format of the authors' training program."""

import sys
import types

import numpy as np
import pytest
import torch
from commands import call

from rsmamba_mm.errors import OptionError
from rsmamba_mm.models.released import find_rest, mmseg_to_unetmamba, read_tensors, unetmamba_to_mmseg

pytest.importorskip('mmseg.models')
from test_unetmamba import count, unetmamba

TOOL = 'model_converters/released_to_mm.py'
PLACES = {
    'backbone.': 'encoder.',
    'neck.': 'decoder.',
    'auxiliary_head.': 'decoder.',
    'decode_head.conv_seg.': 'decoder.seg.',
}


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return unetmamba()


def released(network, prefix='net.', with_lsm=True) -> dict:
    """The names of the released network for the weights of ours."""
    renamed = {}
    for name, tensor in network.state_dict().items():
        place = next(place for place in PLACES if name.startswith(place))
        if with_lsm or place != 'auxiliary_head.':
            renamed[prefix + PLACES[place] + name.removeprefix(place)] = tensor
    return renamed


@pytest.fixture
def lightning_file(network, tmp_path, monkeypatch):
    """A checkpoint with objects of classes that will not be there when it is read."""
    module = types.ModuleType('tools_of_the_authors')
    exec(
        'class Config(dict):\n    pass\n'
        'class Evaluator:\n    def __init__(self, n): self.n = n\n'
        'def explode(*a): raise SystemExit("code of the file was run")\n'
        'class Trap:\n    def __reduce__(self): return explode, (1,)\n',
        module.__dict__,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for item in (module.Config, module.Evaluator, module.Trap, module.explode):
        item.__module__ = module.__name__
    path = tmp_path / 'unetmamba.ckpt'
    content = {
        'epoch': 99,
        'global_step': 12600,
        'pytorch-lightning_version': '2.0.4',
        'state_dict': released(network),
        'callbacks': {'ModelCheckpoint': dict(best_model_path='/home/author/x.ckpt', trap=module.Trap())},
        'optimizer_states': [dict(state={0: torch.ones(3)})],
        'hyper_parameters': dict(config=module.Config(lr=6e-4, classes=['a']), metric=module.Evaluator(6)),
    }
    torch.save(content, path)
    monkeypatch.delitem(sys.modules, module.__name__)
    return path


def test_lightning_file_becomes_the_same_network(network, lightning_file):
    with pytest.raises(Exception, match='tools_of_the_authors'):
        torch.load(lightning_file, weights_only=False)
    state_dict = unetmamba_to_mmseg(read_tensors(lightning_file))
    other = unetmamba()
    other.load_state_dict(state_dict)  # strict: all names and shapes
    network.eval(), other.eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), other(x))


def test_without_lsm(network, tmp_path):
    for state_dict in (
        unetmamba_to_mmseg(released(network), with_lsm=False),
        unetmamba_to_mmseg(released(network, prefix='', with_lsm=False)),
    ):
        bare = unetmamba(with_lsm=False)
        bare.load_state_dict(state_dict)
        assert not any('lsm' in name for name in state_dict) and count(bare) == 13_891_306


def test_command(lightning_file, tmp_path):
    out = tmp_path / 'converted' / 'unetmamba.pth'
    result = call(TOOL, 'unetmamba', lightning_file, out, '--without-auxiliary')
    assert result.returncode == 0, result.stderr
    assert '13,891,306 parameters' in result.stdout
    unetmamba(with_lsm=False).load_state_dict(torch.load(out, weights_only=True)['state_dict'])
    result = call(TOOL, 'unetmamba', 'none.ckpt', out)
    assert result.returncode == 2 and 'checkpoint not found: none.ckpt' in result.stderr


def test_there_and_back(network, tmp_path):
    there, back = tmp_path / 'ours.pth', tmp_path / 'back.ckpt'
    torch.save(dict(state_dict=released(network)), tmp_path / 'released.ckpt')
    assert call(TOOL, 'unetmamba', tmp_path / 'released.ckpt', there).returncode == 0
    result = call(TOOL, 'unetmamba', there, back, '--to', 'released')
    assert result.returncode == 0, result.stderr
    first, last = (read_tensors(tmp_path / name) for name in ('released.ckpt', 'back.ckpt'))
    assert first.keys() == last.keys()
    assert all(torch.equal(first[name], last[name]) for name in first)


def test_every_tensor_is_named(network, tmp_path):
    tensors = released(network)
    del tensors['net.encoder.norm.bias']
    tensors['net.encoder.extra'] = torch.ones(1)
    tensors['net.encoder.norm.weight'] = torch.ones(3)
    torch.save(dict(state_dict=tensors), tmp_path / 'wrong.ckpt')
    result = call(TOOL, 'unetmamba', tmp_path / 'wrong.ckpt', tmp_path / 'out.pth')
    assert result.returncode == 2 and not (tmp_path / 'out.pth').exists()
    for line in (
        r'wrong.ckpt: 3 of ',
        'backbone.norm.bias is missing',
        'backbone.extra is not in the model',
        'backbone.norm.weight is (3,), in the model (512,)',
    ):
        assert line in result.stderr


def test_names_without_a_place():
    with pytest.raises(OptionError, match=r'1 of 2 tensors have no place in a released UNetMamba: fpn\.x'):
        mmseg_to_unetmamba({'backbone.stem.x': torch.ones(1), 'fpn.x': torch.ones(1)})


@pytest.mark.parametrize('prefix', ['', 'module.', 'net.encoder.', 'backbone.'])
def test_rest_there_and_back(prefix, network, tmp_path):
    encoder = network.backbone.state_dict()
    content = {prefix + name: tensor for name, tensor in encoder.items()} | {
        'head.weight': torch.ones(9, 512)
    }
    torch.save(dict(model=content), tmp_path / 'rest_lite.pth')
    result = call(TOOL, 'rest', tmp_path / 'rest_lite.pth', tmp_path / 'ours.pth')
    assert 'left out, of no use there: 1 tensors: head.weight' in result.stdout, result.stderr
    result = call(TOOL, 'rest', tmp_path / 'ours.pth', tmp_path / 'back.pth', '--to', 'released')
    assert result.returncode == 0, result.stderr
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert back.keys() == encoder.keys() and all(torch.equal(back[name], encoder[name]) for name in back)
    del content[f'{prefix}stage3.1.norm1.weight']
    torch.save(content, tmp_path / 'less.pth')
    result = call(TOOL, 'rest', tmp_path / 'less.pth', tmp_path / 'none.pth')
    assert 'less.pth: 1 of ' in result.stderr and 'stage3.1.norm1.weight is missing' in result.stderr


def test_rest_of_the_released_code(root):
    golden = root.parent / 'shared/golden/rest.npz'
    if not golden.is_file():
        pytest.skip(f'{golden} is not there')
    names = {name.removeprefix('sd/') for name in np.load(golden) if name.startswith('sd/')}
    found, others = find_rest({f'net.encoder.{name}': torch.ones(1) for name in names})
    assert found.keys() == names and not others


def test_refusals(tmp_path):
    (tmp_path / 'text.ckpt').write_text('no checkpoint')
    with pytest.raises(OptionError, match=r'text\.ckpt cannot be read as a checkpoint'):
        read_tensors(tmp_path / 'text.ckpt')
    torch.save(dict(epoch=3), tmp_path / 'empty.ckpt')
    with pytest.raises(OptionError, match='holds no tensors'):
        read_tensors(tmp_path / 'empty.ckpt')
    with pytest.raises(OptionError, match=r'not the names of a released UNetMamba.*found: layer1\.weight'):
        unetmamba_to_mmseg({'layer1.weight': torch.ones(1)})
