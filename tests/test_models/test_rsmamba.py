from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import save_checkpoint

from rsmamba_mm.models import RSMamba

DATA = Path(__file__).parents[1] / 'data'
TINY = dict(embed_dims=32, num_layers=3, feedforward_channels=64)


def tiny(**options) -> RSMamba:
    return RSMamba(**{**dict(arch=TINY, img_size=64), **options})


@pytest.mark.parametrize(
    ('arch', 'parameters'), [('base', 6_377_088), ('large', 16_241_152), ('huge', 33_046_400)]
)
def test_parameter_count(arch, parameters):
    with torch.device('meta'):
        model = RSMamba(arch)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('rsmamba_gate3', {}),
        ('rsmamba_cls_middle', dict(cls_position='middle', out_type='cls_token')),
        ('rsmamba_forward', dict(path_type='forward')),
    ],
)
def test_published_outputs_and_gradients(name, options, monkeypatch):
    golden = {key: torch.from_numpy(value) for key, value in np.load(DATA / f'{name}.npz').items()}
    model = tiny(**options)
    state_dict = {k[3:]: v for k, v in golden.items() if k.startswith('sd/')}
    model.load_state_dict(state_dict)
    permutations = iter(golden['perms'])
    monkeypatch.setattr(torch, 'randperm', lambda length: next(permutations))
    x = golden['x'].requires_grad_()
    (y,) = model(x)
    y.backward(golden['cotangent'])

    def relative(ours, theirs):
        return ((ours - theirs).norm() / theirs.norm()).item()

    assert relative(y, golden['y']) < 1e-5
    assert relative(x.grad, golden['grad_x']) < 1e-4
    gradients = {k[5:]: v for k, v in golden.items() if k.startswith('grad/')}
    assert {'pos_embed', 'patch_embed.projection.weight', 'layers.0.A_log'} <= set(gradients)
    for key, gradient in gradients.items():
        assert relative(model.get_parameter(key).grad, gradient) < 1e-4, key
