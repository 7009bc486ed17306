"""Global-local attention, weighted fusion and refinement: their formulas, written out, and their limits."""

import pytest
import torch
import torch.nn.functional as F

from rsmamba_mm.errors import OptionError
from rsmamba_mm.layers import (
    FeatureRefinement,
    GlobalLocalAttention,
    GlobalLocalBlock,
    WeightedFusion,
    pad_end,
    pad_to_multiple,
)


@pytest.mark.parametrize(
    ('row', 'missing', 'expected'),
    [([1, 2, 3], 2, [1, 2, 3, 2, 1]), ([1, 2], 2, [1, 2, 2, 2]), ([1], 3, [1] * 4), ([1, 2], 0, [1, 2])],
    ids=['reflected', 'repeated', 'one pixel', 'nothing'],
)
def test_each_side_is_padded_by_what_it_lacks(row, missing, expected):
    x = torch.tensor(row, dtype=torch.float32).expand(1, 1, 4, -1)
    assert pad_end(x, 0, missing)[0, 0, 0].tolist() == expected
    assert pad_end(x.mT, missing, 0)[0, 0, :, 0].tolist() == expected
    assert pad_to_multiple(torch.ones(1, 1, 9, 16), 8).shape[2:] == (16, 16)


def test_attention_within_windows_by_its_formula():
    """Each pixel asks those of its own window of 2 × 2; the map of 3 × 5 is reflected to 4 × 6 first."""
    module = GlobalLocalAttention(4, num_heads=2, window_size=2).double()
    torch.nn.init.normal_(module.relative_position_bias_table)
    x = torch.randn(1, 4, 3, 5, dtype=torch.float64)
    padded = F.pad(x, (0, 1, 0, 1), mode='reflect')[0]
    q, k, v = torch.einsum('tndc,chw->tndhw', module.qkv.weight.view(3, 2, 2, 4), padded)
    table, expected = module.relative_position_bias_table.view(3, 3, 2), torch.empty(2, 2, 4, 6).double()
    for i in range(4):
        for j in range(6):
            window = [(i // 2 * 2 + a, j // 2 * 2 + b) for a in (0, 1) for b in (0, 1)]
            for head in range(2):
                logits = torch.stack(
                    [
                        q[head, :, i, j] @ k[head, :, a, b] / 2**0.5 + table[i - a + 1, j - b + 1, head]
                        for a, b in window
                    ]
                )
                values = torch.stack([v[head, :, a, b] for a, b in window])
                expected[head, :, i, j] = logits.softmax(0) @ values
    torch.testing.assert_close(module._within_windows(x)[0], expected.flatten(0, 1)[:, :3, :5])


def test_means_across_windows_by_their_formula():
    """Over eight pixels, three before and four after, of which the first past the end is reflected and the
    others are zero."""
    x = torch.randn(6, 7, dtype=torch.float64)

    def means(rows):
        line = torch.cat([torch.zeros(3, 7), rows, rows[-2:-1], torch.zeros(3, 7)])
        return torch.stack([line[i : i + 8].sum(0) / 8 for i in range(6)])

    module = GlobalLocalAttention(8, window_size=8)
    found = module._across_windows(x[:, :6].expand(1, 8, -1, -1).contiguous())[0, 0]
    square = F.pad(x[:, :6], (0, 1))
    torch.testing.assert_close(
        found, means(square)[:, :6] + means(F.pad(x[:, :6].T, (0, 1)))[:, :6].T, check_dtype=False
    )


def test_a_fusion_reads_the_other_map_by_its_convolutions_alone():
    block = GlobalLocalBlock(8, num_heads=2, window_size=4, local_dim=12).eval()
    x, y = torch.randn(1, 8, 5, 6), torch.randn(1, 12, 5, 6)
    with torch.no_grad():
        first = block(x, y)
        for conv in (block.attn.local1, block.attn.local2):
            conv.conv.weight.zero_()
        assert not torch.equal(block(x, y), first)
        assert torch.equal(block(x, y), block(x, torch.randn(1, 12, 5, 6)))


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (2, 3), (16, 8)], ids=str)
def test_a_map_of_any_size(size):
    y = GlobalLocalBlock(8)(torch.randn(2, 8, *size))
    assert y.shape == (2, 8, *size) and y.isfinite().all()


@pytest.mark.parametrize(
    ('weights', 'of_skip', 'of_x'), [((1, 1), 0.5, 0.5), ((-1, 3), 0, 1), ((-1, -1), 0, 0)]
)
def test_weights_are_positive_and_of_sum_one(weights, of_skip, of_x):
    module, seen = WeightedFusion(6, 4), []
    module.weights.data = torch.tensor(weights, dtype=torch.float32)
    module.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, skip = torch.randn(1, 4, 2, 3), torch.randn(1, 6, 3, 6)
    module(x, skip)
    enlarged = F.interpolate(x, (3, 6), mode='bilinear')
    torch.testing.assert_close(seen[0], of_skip * module.lateral(skip) + of_x * enlarged)


def test_refinement_by_its_formula():
    module, x = FeatureRefinement(32).eval(), torch.randn(2, 32, 5, 6)
    t = x.mean((2, 3)) @ module.channel_gate[1].weight.flatten(1).T
    channels = (t.clamp(0, 6) @ module.channel_gate[3].weight.flatten(1).T).sigmoid()[..., None, None]
    pixels = module.pixel_gate(x).sigmoid()
    expected = module.proj(x * pixels + x * channels) + module.shortcut(x)
    torch.testing.assert_close(module(x), expected.clamp(0, 6))
    assert module.channel_gate[1].weight.shape[0] == 2


@pytest.mark.parametrize(
    ('build', 'error', 'message'),
    [
        (
            lambda: GlobalLocalBlock(10),
            OptionError,
            'GlobalLocalAttention: num_heads must divide the 10 channels, got 8',
        ),
        (
            lambda: GlobalLocalBlock(8, window_size=7),
            OptionError,
            'GlobalLocalAttention: window_size must be even, got 7',
        ),
        (
            lambda: GlobalLocalBlock(8, num_heads=0),
            ValueError,
            'GlobalLocalAttention: num_heads must be a positive integer, got 0',
        ),
    ],
)
def test_refusals(build, error, message):
    with pytest.raises(error, match=message):
        build()
