"""VMamba as a classifier; its first release and what holds for any encoder are in test_rs3mamba.py."""

import pytest
import torch
from golden import assert_formulation, assert_published_logits, classifier, state_of
from model_tester import ModelTester

from rsmamba_mm.errors import OptionError
from rsmamba_mm.models import VMamba
from rsmamba_mm.models.released import convert_released

LATER = dict(d_state=1, ssm_ratio=1.0, mlp_ratio=2.0, gated=False, conv_bias=False, overlap=True)
TINY = dict(embed_dims=(8, 16, 16, 32), depths=(1, 1, 2, 1), **LATER)


@pytest.mark.parametrize(
    ('config', 'parameters'),
    [
        ('vmamba-t-s2l5_ucmerced', 29_952_981),
        ('vmamba-t-s2l5_aid', 29_959_902),
        ('vmamba-t-s2l5_resisc45', 29_971_437),
        ('vmamba-t-s1l8_ucmerced', 29_496_213),
        ('vmamba-t-s1l8_aid', 29_503_134),
        ('vmamba-t-s1l8_resisc45', 29_514_669),
        ('vmamba-mini_ucmerced-128px', 281_461),
    ],
)
def test_parameter_count(config, parameters):
    with torch.device('meta'):
        model = classifier(f'vmamba/{config}')
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize('arch', ['s2l5', 's1l8'])
def test_published_outputs(arch):
    found = convert_released('vmamba', state_of(f'VMamba_T_{arch}'))
    assert (found.config, found.left_out) == (f'rsmamba_mm::_base_/models/vmamba-t-{arch}.py', ())
    model = classifier(f'vmamba/vmamba-t-{arch}_ucmerced')
    model.load_state_dict(found.state_dict)
    assert_published_logits(f'VMamba_T_{arch}', model, 2e-5)


def test_published_formulation_gives_the_same():
    assert_formulation('vmamba', classifier('vmamba/vmamba-mini_ucmerced-128px'), (40, 72))


class TestVMamba(ModelTester):
    config = dict(type='VMamba', arch=TINY)
    sizes = [(32, 32), (75, 50)]
    refusals = [
        (
            dict(arch='s2l9'),
            OptionError,
            "VMamba: unknown arch 's2l9'. Choose from: v0, s2l5, s1l8, small, b",
        ),
        (
            dict(arch={**TINY, 'gate': True}),
            OptionError,
            'and optionally gated, conv_bias and overlap, got',
        ),
        (dict(patch_size=2), OptionError, 'overlapping patches have a stride of 4, got patch_size=2'),
        (dict(frozen_stages=5), OptionError, 'frozen_stages must be in -1 … 4, got 5'),
    ]

    def shapes(self, batch, size):
        height, width = (-(-side // 4) for side in size)
        return [
            (batch, dim, -(-height // 2**i), -(-width // 2**i)) for i, dim in enumerate(TINY['embed_dims'])
        ]


def test_frozen_stages():
    model = VMamba(TINY, frozen_stages=2, drop_path_rate=0.5).train()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    expected = ('patch_embed.', 'layers.0.', 'layers.1.', 'norm0.', 'norm1.')
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith(expected)}
    assert not model.layers[1].training and model.layers[2].training


def test_released_weights_load_as_they_are_also_of_other_bands():
    state = state_of('VMamba_T_s2l5')
    for bands in (3, 4):
        model = VMamba('s2l5', in_channels=bands)
        before = model.patch_embed.convs[0].weight.clone()
        missing = model.load_state_dict(dict(model=dict(state)), strict=False).missing_keys
        assert torch.equal(
            model.layers[2].blocks[4].mlp.fc1.weight, state['layers.2.blocks.4.mlp.fc1.weight']
        )
        assert torch.equal(model.norm3.bias, state['classifier.norm.bias'])
        stem = [f'patch_embed.convs.0.{kind}' for kind in ('weight', 'bias')]
        others = [f'norm{i}.{kind}' for i in range(3) for kind in ('weight', 'bias')]
        assert missing == (others if bands == 3 else [*stem, *others])
        assert torch.equal(model.patch_embed.convs[0].weight, before) == (bands == 4)


def test_converter_takes_any_classes_and_convolutions_of_one_pixel():
    state = dict(state_of('VMamba_T_s1l8'))
    for part in ('weight', 'bias'):
        state[f'classifier.head.{part}'] = state[f'classifier.head.{part}'][:5]
    linear = 'layers.3.blocks.1.op.in_proj.weight'
    state[linear] = state[linear][..., None, None]
    found = convert_released('vmamba', state)
    assert found.num_classes == 5
    assert torch.equal(found.state_dict[f'backbone.{linear}'], state[linear].flatten(1))
    del state['layers.2.blocks.7.op.Ds']
    with pytest.raises(OptionError, match=r'layers\.2\.blocks\.7\.op\.Ds'):
        convert_released('vmamba', state)
