"""Class tokens, positions, and a backbone of these parts."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule, ModuleList
from torch import nn

from rsmamba_mm.layers import (
    ClassSlots,
    MultiPathMamba,
    TokenPositions,
    block_orders,
    known_orders,
    resize_position_embedding,
    sincos_position_embedding,
)

POSITIONS = dict(none=[], head=[0], middle=[3], tail=[7], head_tail=[0, 8])


@pytest.mark.parametrize('position', POSITIONS)
def test_class_tokens_stand_in_their_slots(position):
    slots = ClassSlots(position)
    patches, cls = torch.randn(2, 7, 4), torch.randn(2, slots.count, 4)
    assert slots.indices(7) == POSITIONS[position]
    sequence = slots.insert(patches, cls)
    assert torch.equal(sequence[:, POSITIONS[position]], cls)
    for part, expected in zip(slots.split(sequence), (patches, cls), strict=True):
        assert torch.equal(part, expected)


@pytest.mark.parametrize('position', ['none', 'middle', 'head_tail'])
def test_learned_positions_follow_the_grid(position):
    slots = ClassSlots(position)
    positions = TokenPositions('learnable', (4, 6), 8, slots)
    learned = positions.new_parameter()
    assert learned.shape == (1, positions.length, 8) and 0.01 < learned.std() < 0.03
    x = torch.randn(2, positions.length, 8)
    assert torch.equal(positions.add(x, (4, 6), learned), x + learned)
    y = positions.add(x.new_zeros(1, 15 + slots.count, 8), (3, 5), learned)
    patches, cls = slots.split(learned)
    assert torch.equal(y, slots.insert(resize_position_embedding(patches, (4, 6), (3, 5)), cls))
    assert positions.add(x.bfloat16(), (4, 6), learned).dtype == torch.bfloat16


def test_learned_positions_of_a_checkpoint():
    slots = ClassSlots('head')
    positions = TokenPositions('learnable', (4, 6), 8, slots)
    square, other = torch.randn(1, 26, 8), torch.randn(1, 24, 8)
    patches = resize_position_embedding(square[:, 1:], (5, 5), (4, 6))
    assert torch.equal(positions.fit(square), torch.cat([square[:, :1], patches], 1))
    assert positions.fit(other) is other  # 23 patches are no square: left for the loader to refuse
    own = torch.randn(1, 25, 8)
    assert positions.fit(own) is own


def test_positions_without_parameters():
    x = torch.randn(2, 13, 8)
    sine = TokenPositions('sine', (2, 2), 8, ClassSlots('middle'))
    assert sine.new_parameter() is None
    y = sine.add(x, (3, 4), None) - x
    patches, cls = ClassSlots('middle').split(y)
    torch.testing.assert_close(patches, sincos_position_embedding(3, 4, 8).expand(2, -1, -1))
    assert not cls.any()
    assert TokenPositions('none', (2, 2), 8).add(x, (3, 4), None) is x


def test_refusals():
    with pytest.raises(
        ValueError, match=r"unknown cls_position 'end'\. Choose from: none, head, middle, ta"
    ):
        ClassSlots('end')
    with pytest.raises(
        ValueError, match=r"unknown pe_type 'rotary'\. Choose from: learnable, sine, none\."
    ):
        TokenPositions('rotary', (2, 2), 8)
    with pytest.raises(ValueError, match='a multiple of 4, got 6'):
        TokenPositions('sine', (2, 2), 6)


class PlainMamba(BaseModule):
    """A backbone of the parts above: class token in the middle, learned positions, any orders."""

    def __init__(
        self, dim=16, depth=2, orders=('snake', 'shuffle'), img_size=32, patch_size=8, init_cfg=None
    ):
        super().__init__(init_cfg)
        self.orders, self.depth = known_orders('PlainMamba: orders', orders), depth
        self.patch_embed = PatchEmbed(
            embed_dims=dim, kernel_size=patch_size, stride=patch_size, input_size=img_size
        )
        self.slots = ClassSlots('middle')
        self.positions = TokenPositions('learnable', self.patch_embed.init_out_size, dim, self.slots)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = self.positions.new_parameter()
        self.norms = ModuleList(nn.LayerNorm(dim) for _ in range(depth))
        self.layers = ModuleList(MultiPathMamba(dim) for _ in range(depth))
        self.register_load_state_dict_pre_hook(self._fit_positions)

    def forward(self, x):
        x, grid = self.patch_embed(x)
        x = self.slots.insert(x, self.cls_token.expand(len(x), -1, -1))
        x = self.positions.add(x, grid, self.pos_embed)
        slots = self.slots.indices(grid[0] * grid[1])
        orders = block_orders(self.orders, grid, x.device, self.training, self.depth, cls_slots=slots)
        for norm, layer, block in zip(self.norms, self.layers, orders, strict=True):
            x = x + layer(norm(x), block)
        return (self.slots.split(x)[1].mean(1),)

    @staticmethod
    def _fit_positions(module, state_dict, prefix, *_):
        key = f'{prefix}pos_embed'
        if key in state_dict:
            state_dict[key] = module.positions.fit(state_dict[key])


def test_a_backbone_is_made_of_these_parts():
    torch.manual_seed(0)
    model, images = PlainMamba(), torch.rand(2, 3, 40, 24)
    model.init_weights()
    (y,) = model(images)
    y.square().sum().backward()
    assert y.shape == (2, 16)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert not torch.equal(model(images)[0], model(images)[0])
    larger = PlainMamba(img_size=64)
    larger.load_state_dict(model.state_dict())
    assert larger.pos_embed.shape == (1, 65, 16)
    model.eval()
    assert torch.equal(model(images)[0], model(images)[0])
    with pytest.raises(ValueError, match=r"unknown scan order 'spiral'\. Known orders: "):
        PlainMamba(orders=['spiral'])
