"""Released segmenters by the command, from files as their training programs write them."""

import pytest
import torch
from commands import call
from golden import PEERS, assert_published, state_of
from mmengine.registry import MODELS, init_default_scope

from rsmamba_mm.errors import OptionError
from rsmamba_mm.models.released import convert_released
from rsmamba_mm.models.released.systems import load_config

pytest.importorskip('mmseg.models')

TOOL = 'model_converters/released_to_mm.py'
SYSTEMS = dict(
    banet=('BANet', 'banet_rest-lite'),
    manet=('MANet', 'manet_r50'),
    dcswin=('DCSwin_tiny', 'dcswin_swin-t'),
    cmunet=('CMUNet', 'cmunet_r18'),
    pyramidmamba=('EfficientPyramidMamba', 'pyramidmamba_r18'),
    unetformer=('UNetFormer', 'unetformer_r18'),
    rs3mamba=('RS3Mamba', 'rs3mamba'),
)


def lightning(tensors: dict, path) -> str:
    """A file of a training program, whose losses have a buffer of their own."""
    state_dict = {f'net.{name}': tensor for name, tensor in tensors.items()}
    torch.save({'epoch': 3, 'state_dict': state_dict | {'loss.weight': torch.ones(6)}}, path)
    return str(path)


@pytest.mark.parametrize('name', SYSTEMS)
def test_file_becomes_the_model_of_the_config(name, tmp_path):
    golden, config = SYSTEMS[name]
    file = lightning(state_of(golden), tmp_path / 'released.ckpt')
    result = call(TOOL, name, file, tmp_path / 'new' / 'ours.pth')
    assert result.returncode == 0, result.stderr
    assert f'all as in {name} ({config})' in result.stdout
    assert 'left out' in result.stdout and 'loss.weight' in result.stdout
    written = torch.load(tmp_path / 'new' / 'ours.pth', weights_only=True)
    assert written.keys() == {'state_dict', 'meta'}
    init_default_scope('mmseg')
    model = MODELS.build(load_config(f'rsmamba_mm::_base_/models/{config}.py').model)
    model.load_state_dict(written['state_dict'])
    assert_published(golden, model.eval(), tolerance=6e-4 if name == 'rs3mamba' else 1e-4)


def test_every_tensor_is_named(tmp_path):
    tensors = state_of('BANet')
    del tensors['cp.ResT.norm.bias']
    tensors['sp.conv2.conv.weight'] = torch.ones(3)
    tensors['fam.convblk.bn.bias'] = torch.full((256,), float('nan'))
    tensors['fam.convblk.extra'] = torch.ones(1)
    result = call(TOOL, 'banet', lightning(tensors, tmp_path / 'wrong.ckpt'), tmp_path / 'ours.pth')
    assert result.returncode == 2 and not (tmp_path / 'ours.pth').exists()
    for line in (
        'wrong.ckpt: 4 of ',
        'backbone.context.norm.bias is missing',
        'backbone.texture.1.conv.weight is (3,), in the model (64, 64, 3, 3)',
        'backbone.fuse.bn.bias has values that are not finite',
        'backbone.fuse.extra is not in the model',
    ):
        assert line in result.stderr


def test_refusals(tmp_path):
    torch.save({'layer1.weight': torch.ones(1)}, tmp_path / 'other.pth')
    for options, message in (
        (('banet', tmp_path / 'other.pth'), 'not the names of a released BANet, which has cp.ResT.…'),
        (('banet', tmp_path / 'none.pth'), 'checkpoint not found'),
        (('banet', tmp_path / 'other.pth', '--to', 'released'), 'there is no way back for banet'),
        (('bisenet', tmp_path / 'other.pth'), "invalid choice: 'bisenet'"),
    ):
        result = call(TOOL, *options[:2], tmp_path / 'out.pth', *options[2:])
        assert result.returncode == 2 and message in result.stderr
    assert not (tmp_path / 'out.pth').exists()
    with pytest.raises(OptionError, match=r"unknown released network 'bisenet'\. Choose from: afmnet"):
        convert_released('bisenet', {})


@pytest.mark.skipif(not PEERS.is_dir(), reason='the published outputs are not here')
def test_integers_of_a_file_stay():
    """Those that are absent are filled, those that are there are kept."""
    tensors = state_of('MANet') | {'backbone.bn1.num_batches_tracked': torch.tensor(7)}
    state_dict = convert_released('manet', tensors).state_dict
    assert state_dict['backbone.bn1.num_batches_tracked'] == 7
    assert state_dict['backbone.layer1.0.bn1.num_batches_tracked'] == 0
