"""Gates of channels and pixels, and the aggregation of maps that they weigh."""

import pytest
import torch
import torch.nn.functional as F

from rsmamba_mm.layers import (
    SS2D,
    BottleneckVSSBlock,
    ChannelGate,
    GatedSS2D,
    MultiScaleAggregation,
    SpatialGate,
)


@pytest.mark.parametrize('channels', [2, 16])
def test_channel_gate_by_its_formula(channels):
    gate, x = ChannelGate(channels).double(), torch.randn(2, channels, 3, 5, dtype=torch.float64)
    first, second = gate.fc[0].weight.flatten(1), gate.fc[2].weight.flatten(1)
    assert len(first) == max(1, channels // 4)
    pixels = x.flatten(2)
    logits = sum(F.relu(pooled @ first.T) @ second.T for pooled in (pixels.mean(2), pixels.max(2).values))
    torch.testing.assert_close(gate(x), x / (1 + torch.exp(-logits))[:, :, None, None])


def test_spatial_gate_by_its_formula():
    gate, x = SpatialGate(3).double(), torch.randn(1, 4, 5, 6, dtype=torch.float64)
    summary = F.pad(torch.stack([x.mean(1), x.max(1).values], 1), (1, 1, 1, 1))
    logits = sum(
        gate.conv.weight[0, :, i, j] @ summary[0, :, i : i + 5, j : j + 6].flatten(1)
        for i in range(3)
        for j in range(3)
    )
    torch.testing.assert_close(gate(x), x * logits.view(1, 1, 5, 6).sigmoid())


def test_ss2d_is_gated_by_what_the_gates_leave_of_z():
    """With gates of one half each, the gate is that of a quarter of z."""
    gated, plain = GatedSS2D(8, 4).double(), SS2D(8, 4).double()
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if '_gate.' not in k})
    for gate in (gated.channel_gate, gated.spatial_gate):
        for p in gate.parameters():
            torch.nn.init.zeros_(p)
    plain.in_proj.weight.data[16:] /= 4
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(gated(x), plain(x))


def test_a_block_is_half_as_wide_inside():
    block = BottleneckVSSBlock(32)
    assert block.op.in_proj.weight.shape == (16, 16)
    assert block.op.conv2d.weight.shape == (8, 1, 3, 3)
    torch.nn.init.zeros_(block.up.weight)
    x = torch.randn(1, 3, 2, 32)
    torch.testing.assert_close(block(x), x + block.up.bias)


def test_each_level_reads_its_own_map_first_and_the_nearest_next():
    """The order of the channels, which decides what the weights of a checkpoint mean."""
    module = MultiScaleAggregation((16, 32, 64))
    seen = []
    for level in module.levels:
        level.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    sizes = [(9, 13), (5, 7), (3, 4)]
    outputs = module([torch.randn(1, c, *s) for c, s in zip((16, 32, 64), sizes, strict=True)])
    assert [y.shape[1:] for y in outputs] == [(c, *s) for c, s in zip((16, 32, 64), sizes, strict=True)]
    module([torch.ones(1, c, *s) * i for i, (c, s) in enumerate(zip((16, 32, 64), sizes, strict=True), 1)])
    sums = [conv.weight.flatten(1).sum(1) * i for i, conv in enumerate(module.transfer, 1)]
    for x, order in zip(seen[3:], ((0, 1, 2), (1, 0, 2), (2, 1, 0)), strict=True):
        torch.testing.assert_close(x[0, :, 0, 0], torch.cat([sums[i] for i in order]))


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: ChannelGate(0), 'ChannelGate: channels must be a positive integer, got 0'),
        (lambda: SpatialGate(4), 'SpatialGate: kernel_size must be odd, got 4'),
        (lambda: BottleneckVSSBlock(7), 'BottleneckVSSBlock: dim must be even, got 7'),
    ],
)
def test_refusals(build, message):
    with pytest.raises(ValueError, match=message):
        build()
