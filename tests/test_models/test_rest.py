from pathlib import Path

import numpy as np
import pytest
import torch
from model_tester import REST, ModelTester, strided
from parity import assert_parity

from rsmamba_mm.models import ResT

GOLDEN = Path(__file__).parents[3] / 'shared' / 'golden' / 'rest.npz'
TINY = dict(embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), depths=(2, 2, 2, 2), sr_ratios=(8, 4, 2, 1))


@pytest.mark.parametrize(
    ('arch', 'parameters'),
    [('tiny', 951_226), ('lite', 9_995_300), ('small', None), ('base', None), ('large', None)],
)
def test_archs(arch, parameters):
    with torch.device('meta'):
        model = ResT(arch)
    count = sum(p.numel() for p in model.parameters())
    assert parameters in (None, count)
    depths = [len(getattr(model, f'stage{i}')) for i in (1, 2, 3, 4)]
    expected = dict(lite=[2, 2, 2, 2], small=[2, 2, 6, 2], base=[2, 2, 6, 2], large=[2, 2, 18, 2])
    assert depths == dict(expected, tiny=[1, 1, 2, 2])[arch]


@pytest.mark.skipif(not GOLDEN.is_file(), reason='the published outputs are not here')
def test_published_outputs_and_gradients():
    golden = {name: torch.from_numpy(x) for name, x in np.load(GOLDEN).items()}
    model = ResT(TINY).eval()
    model.load_state_dict({k[3:]: v for k, v in golden.items() if k.startswith('sd/')})
    x = golden['x'].requires_grad_()
    maps = model(x)
    torch.autograd.backward(maps, [golden[f'cotangent{i}'] for i in range(4)])
    gradients = {k[5:]: v for k, v in golden.items() if k.startswith('grad/')}
    pairs = [(y, golden[f'y{i}'], 1e-4) for i, y in enumerate(maps)]
    pairs += [(model.get_parameter(k).grad, v, 1e-3) for k, v in gradients.items()]
    for ours, theirs, tolerance in [*pairs, (x.grad, golden['grad_x'], 1e-3)]:
        assert (ours - theirs).norm() <= tolerance * theirs.norm()
    assert 'stage2.0.attn.transform_conv.weight' in gradients


def test_small_fixture_of_parity():
    assert_parity('rest')


def test_normalised_attention_is_softmax_and_instance_norm(monkeypatch):
    torch.manual_seed(0)
    attention = ResT(TINY).stage3[0].attn.double()
    q, k, v = torch.randn(3, 2, 4, 6, 8, dtype=torch.float64)
    norm = torch.nn.InstanceNorm2d(4).double()
    expected = norm(attention.transform_conv(q @ k.mT * 8**-0.5).softmax(-1)) @ v
    torch.testing.assert_close(attention._normalised(q, k, v), expected)
    monkeypatch.setattr('rsmamba_mm.models.backbones.rest.MAP_SIZE', 2 * 4 * 6)  # two rows at a time
    torch.testing.assert_close(attention._normalised(q, k, v), expected)


@pytest.mark.parametrize('key', [None, 'model', 'state_dict'])
def test_imagenet_weights_load(tmp_path, key):
    """A released classifier: the backbone's names and a head, plain or under a key."""
    torch.manual_seed(0)
    source = ResT(TINY)
    weights = {**source.state_dict(), 'head.weight': torch.zeros(1000, 64), 'head.bias': torch.zeros(1000)}
    torch.save(weights if key is None else {key: weights, 'epoch': 300}, tmp_path / 'rest_tiny.pth')
    model = ResT(TINY, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'rest_tiny.pth')))
    model.init_weights()
    for name, x in model.state_dict().items():
        assert torch.equal(x, source.state_dict()[name]), name


class TestResT(ModelTester):
    config = REST
    sizes = [(64, 64), (33, 47), (1, 5), (100, 36)]
    # the normalisation of attention amplifies rounding, and on the CPU autocast leaves softmax in float16
    half_dtypes, half_error = [torch.bfloat16], 0.1
    refusals = [
        (
            dict(arch='nano'),
            ValueError,
            r"unknown arch 'nano'. Choose from: tiny, lite, small, base, large",
        ),
        (dict(arch=dict(TINY, depths=(2, 2))), ValueError, 'four numbers for each of depths, embed_dims'),
        (dict(arch=dict(TINY, num_heads=(1, 2, 4, 7))), ValueError, '7 heads do not divide a width of 64'),
        (dict(out_indices=(0, 4)), ValueError, r'out_indices are stages from 0 to 3, got \(0, 4\)'),
        (dict(frozen_stages=4), ValueError, 'frozen_stages must be from -1 to 3, got 4'),
        (dict(arch=dict(TINY, sr_ratios=(3, 1, 1, 1))), ValueError, 'sr_ratios must be 1 or even'),
        (
            dict(arch=dict(TINY, depths=(1, 1, 1, -1))),
            ValueError,
            'arch: depths lists 4 integers, each 0 or',
        ),
        (dict(drop_path_rate=1.0), ValueError, r'ResT: drop_path_rate must be a number in \[0, 1\), got 1'),
    ]

    def shapes(self, batch, size):
        return [
            (batch, dim, *strided(size, s)) for dim, s in zip((8, 16, 32, 64), (4, 8, 16, 32), strict=True)
        ]


def test_checkpointing_changes_nothing():
    torch.manual_seed(0)
    model = ResT(TINY, drop_path_rate=0.1)
    x = torch.randn(2, 3, 64, 48)
    results = []
    for with_cp in (False, True):
        model.zero_grad()
        model.with_cp = with_cp
        torch.manual_seed(1)
        sum(y.square().sum() for y in model(x)).backward()
        results.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*results)


def test_options():
    model = ResT(TINY, in_channels=5, out_indices=(1, 3), frozen_stages=1, norm_eval=True)
    model.init_weights()
    model.train()
    assert model.out_channels == [16, 64]
    assert [y.shape[1] for y in model(torch.randn(1, 5, 32, 32))] == [16, 64]
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert {name.split('.')[0] for name in frozen} == {'stem', 'stage1', 'patch_embed_2', 'stage2'}
    assert not model.patch_embed_3.norm.training and model.patch_embed_3.training
    assert model.stage1[0].attn.q.weight.std() < 0.03  # truncated normal


def test_half_precision_is_as_close_as_the_plain_formula(monkeypatch):
    """The normalisation of attention amplifies what the logits lost in rounding, whoever computes it."""
    torch.manual_seed(0)
    model = ResT(TINY).eval()
    x = torch.randn(1, 3, 64, 64)

    def errors():
        exact = model(x)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            low = model(x)
        return [((a - b).norm() / b.norm()).item() for a, b in zip(low, exact, strict=True)]

    def plain(self, q, k, v):
        logits = self.transform_conv((q * q.shape[-1] ** -0.5) @ k.mT)
        return torch.nn.functional.instance_norm(logits.softmax(-1)) @ v

    ours = errors()
    monkeypatch.setattr(type(model.stage2[0].attn), '_normalised', plain)
    assert ours[0] < 0.02
    assert all(a < 1.5 * b + 0.01 for a, b in zip(ours, errors(), strict=True))


def test_checkpoint_of_another_arch_is_refused():
    """MMEngine's lenient loading would leave the blocks that are not in it at random."""
    lite, small = ResT('lite'), ResT('small')
    with pytest.raises(RuntimeError, match=r'not of this ResT: 0 shapes differ, \d+ keys are missing'):
        small.load_state_dict(lite.state_dict(), strict=False)
    with pytest.raises(RuntimeError, match=r'stage3\.2\.norm1\.weight: only in the checkpoint'):
        lite.load_state_dict(small.state_dict(), strict=False)
