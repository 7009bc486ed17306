"""What the gates weigh the paths with."""

import numpy as np
import pytest
import torch

from rsmamba_mm.apis import OptionError, record_gates
from rsmamba_mm.models import RSMamba
from rsmamba_mm.visualization import draw_gates

ARCH = dict(embed_dims=16, num_layers=3, feedforward_channels=32)


def backbone(**options):
    torch.manual_seed(0)
    return RSMamba(ARCH, img_size=32, patch_cfg=dict(stride=8), **options).eval()


@torch.no_grad()
def test_of_each_image_and_block():
    model = backbone()
    images = torch.rand(2, 3, 32, 32)
    with record_gates(model) as gates:
        assert gates.weights.shape == (0, 3, 3)
        model(images)
        both = gates.weights
        model(images[1:])
    assert gates.orders == ['forward', 'reverse', 'shuffle']
    assert both.shape == (2, 3, 3)
    np.testing.assert_allclose(both.sum(-1), 1, atol=1e-6)
    # each forward is a record of its own
    np.testing.assert_allclose(gates.weights, both[1:], atol=1e-5)
    model(images)
    assert len(gates.weights) == 1  # recording has ended


@torch.no_grad()
def test_a_path_that_the_gate_is_set_to_gets_the_weight():
    model = backbone(path_type=['forward', 'reverse'])
    for layer in model.gate_layers:
        layer[0] = torch.nn.Linear(32, 2)
        torch.nn.init.zeros_(layer[0].weight)
        layer[0].bias.copy_(torch.tensor([3.0, 0.0]))
    with record_gates(model) as gates:
        model(torch.rand(1, 3, 32, 32))
    expected = torch.tensor([3.0, 0.0]).softmax(0).expand(1, 3, 2).numpy()
    np.testing.assert_allclose(gates.weights, expected, atol=1e-6)


@torch.no_grad()
def test_draws_of_the_shuffle_are_averaged():
    model = backbone(eval_shuffles=3)
    with record_gates(model) as gates:
        model(torch.rand(2, 3, 32, 32))
    assert gates.weights.shape == (2, 3, 3)
    np.testing.assert_allclose(gates.weights.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize('path_type', ['forward', 'forward_reverse_mean'])
def test_a_model_without_gates_is_refused(path_type):
    model = backbone(path_type=path_type)
    with pytest.raises(OptionError, match='RSMamba has no gates'), record_gates(model):
        pass


def test_picture():
    figure = draw_gates(np.tile([0.2, 0.3, 0.5], (4, 1)), ['forward', 'reverse', 'shuffle'])
    (axis,) = figure.axes
    tops = {round(bar.get_y() + bar.get_height(), 6) for bar in axis.patches}
    assert tops == {0.2, 0.5, 1.0}
