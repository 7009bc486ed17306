"""AFM-Net's backbone: a convolutional network beside a multi-path Mamba, fused at three levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import OptionError
from ...layers import ClassSlots, TokenPositions, block_orders, known_orders
from ...layers.fedab import FEDAB
from ...layers.rope import rotary_angles
from ...layers.rotary_mamba import RotaryMambaBlock

AGGREGATIONS = ('concat', 'dense')


@MODELS.register_module()
class AFMNet(BaseModule):
    """Backbone of AFM-Net (Tang et al., 2025, arXiv:2510.27155), to be followed by :class:`MoEClsHead`.

    Three maps of a CNN and the tokens after three blocks of a Mamba branch are brought to one width and to
    the token grid, joined level by level, pooled and concatenated. Kept as released: the rotary embedding
    is of the residual stream in every block, by the place in each path and sparing the first place.
    Otherwise than released, the shuffles are fixed in evaluation, the class token is the one spared in the
    forward path on every grid, and there are no unused parts of the CNN and the Mamba branch.

    Args:
        cnn (dict): A backbone with three maps. Defaults to mmpretrain's ResNet-50, stages 2 to 4.
        cnn_channels (Sequence[int]): Channels of its maps. Defaults to ``(512, 1024, 2048)``.
        embed_dims (int): Channels of the tokens, a multiple of 4. Defaults to 192.
        num_layers (int): Blocks of the Mamba branch. Defaults to 10.
        mamba_indices (Sequence[int]): The three blocks whose tokens are taken, from 0, the last being the
            last block. Defaults to ``(2, 5, 9)``.
        layer_cfg (dict): Options of :class:`rsmamba_mm.layers.MultiPathMamba`. Defaults to an empty dict.
        orders (Sequence[str]): Scan orders. Defaults to forward, reverse and shuffle.
        channels (int): Width of each branch at the fusion. Defaults to 128.
        planes (Sequence[int]): Planes of the FEDAB of the CNN, of the Mamba branch and of the fusions.
            Defaults to ``(32, 64, 32)``.
        aggregation (str): ``'concat'``, or ``'dense'``: each fusion sees the earlier fused maps too, and
            has as many times more planes. Defaults to ``'concat'``.
        img_size (int | tuple): Image size (h, w) of the learned positions; other sizes are accepted, with
            the positions resized. Defaults to 224.
        patch_size (int): Side and stride of the patches. Defaults to 16.
        in_channels (int): Bands of the image. Defaults to 3.
        rope (bool): Whether tokens are turned. Defaults to True.
        drop_rate (float): Dropout after the positions. Defaults to 0.1.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly from 0. Defaults to 0.
        with_cp (bool): Whether to recompute the Mamba blocks in the backward. Defaults to False.
        shuffle_seed (int): Seed of the shuffles in evaluation. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None: that of the parts.

    Raises:
        OptionError: If an option is not one of those listed.
        ValueError: If an order is unknown.
    """

    def __init__(
        self,
        cnn: dict = dict(type='mmpretrain.ResNet', depth=50, out_indices=(1, 2, 3)),  # noqa: B006
        cnn_channels: Sequence[int] = (512, 1024, 2048),
        embed_dims: int = 192,
        num_layers: int = 10,
        mamba_indices: Sequence[int] = (2, 5, 9),
        layer_cfg: dict = dict(),  # noqa: B006 - never written to
        orders: Sequence[str] = ('forward', 'reverse', 'shuffle'),
        channels: int = 128,
        planes: Sequence[int] = (32, 64, 32),
        aggregation: str = 'concat',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        rope: bool = True,
        drop_rate: float = 0.1,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        shuffle_seed: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if aggregation not in AGGREGATIONS:
            raise OptionError(
                f'AFMNet: unknown aggregation {aggregation!r}. Choose from: {", ".join(AGGREGATIONS)}.'
            )
        for name, value in (('cnn_channels', cnn_channels), ('mamba_indices', mamba_indices)):
            if len(value) != 3:
                raise OptionError(f'AFMNet: {name} must be three, one for each level, got {list(value)}')
        if len(planes) != 3:
            raise OptionError(
                f'AFMNet: planes are of the CNN, the Mamba branch and the fusions, got {list(planes)}'
            )
        indices = tuple(mamba_indices)
        if sorted(set(indices)) != list(indices) or indices[0] < 0 or indices[-1] != num_layers - 1:
            raise OptionError(
                f'AFMNet: mamba_indices must rise and end with the last block, {num_layers - 1}, '
                f'got {list(indices)}'
            )
        if rope and embed_dims % 4:
            raise OptionError(f'AFMNet: rope needs embed_dims to be a multiple of 4, got {embed_dims}')
        self.orders = known_orders('AFMNet: orders', orders)
        self.embed_dims, self.num_layers = embed_dims, num_layers
        self.mamba_indices = indices
        self.dense, self.rope = aggregation == 'dense', rope
        self.with_cp, self.shuffle_seed = with_cp, shuffle_seed

        self.cnn = MODELS.build(cnn)
        self.cnn_adapters = ModuleList(nn.Conv2d(width, channels, 1) for width in cnn_channels)
        self.cnn_enhancers = ModuleList(FEDAB(channels, channels, planes[0]) for _ in range(3))

        self.patch_embed = PatchEmbed(
            in_channels=in_channels,
            embed_dims=embed_dims,
            kernel_size=patch_size,
            stride=patch_size,
            input_size=to_2tuple(img_size),
        )
        self.patch_norm = nn.RMSNorm(embed_dims, eps=1e-5)
        self.slots = ClassSlots('head')
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        grid = self.patch_embed.init_out_size
        self.positions = TokenPositions('learnable', grid, embed_dims, self.slots)
        self.pos_embed = self.positions.new_parameter()
        self.drop_after_pos = nn.Dropout(drop_rate)
        last = max(1, num_layers - 1)
        self.layers = ModuleList(
            RotaryMambaBlock(embed_dims, len(self.orders), drop_path_rate * i / last, **layer_cfg)
            for i in range(num_layers)
        )
        self.mamba_adapters = ModuleList(nn.Linear(embed_dims, channels) for _ in range(3))
        self.mamba_enhancers = ModuleList(FEDAB(channels, channels, planes[1]) for _ in range(3))

        width = 2 * channels
        wider = [1 + i * self.dense for i in range(3)]
        self.fusions = ModuleList(FEDAB(width * n, width, planes[2] * n) for n in wider)
        self.out_channels = 3 * width
        self._register_load_state_dict_pre_hook(self._fit_positions)

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``, and the positions by a normal truncated at std 0.02."""
        self.positions.init(self.pos_embed)
        super().init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Extract features.

        Args:
            x (Tensor): Images ``(B, in_channels, H, W)`` of any size.

        Returns:
            tuple[Tensor]: The one feature, ``(B, 6 * channels)``.
        """
        fused: list[Tensor] = []
        cnn_maps, mamba_maps = self.cnn(x), self._mamba_maps(x)
        for i, (cnn_map, mamba_map) in enumerate(zip(cnn_maps, mamba_maps, strict=True)):
            cnn_map = self.cnn_enhancers[i](self.cnn_adapters[i](cnn_map))
            size = mamba_map.shape[2:]
            cnn_map = F.interpolate(cnn_map, size=size, mode='bilinear', align_corners=False)
            level = [cnn_map, self.mamba_enhancers[i](mamba_map), *(fused if self.dense else ())]
            fused.append(self.fusions[i](torch.cat(level, 1)))
        return (torch.cat([level.mean((2, 3)) for level in fused], 1),)

    def _mamba_maps(self, x: Tensor) -> list[Tensor]:
        """Tokens of three blocks as maps ``(B, channels, h, w)``."""
        x, grid = self.patch_embed(x)
        x = self.slots.insert(self.patch_norm(x), self.cls_token.expand(len(x), -1, -1).to(x.dtype))
        x = self.drop_after_pos(self.positions.add(x, grid, self.pos_embed))
        angles = None
        if self.rope:  # the first place is not turned
            angles = F.pad(rotary_angles(*grid, self.embed_dims, x.device), (0, 0, 1, 0))
        slots = self.slots.indices(grid[0] * grid[1])
        orders = block_orders(
            self.orders, grid, x.device, self.training, self.num_layers, self.shuffle_seed, slots
        )
        maps = []
        for i, layer in enumerate(self.layers):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(layer, x, orders[i], angles, use_reentrant=False)
            else:
                x = layer(x, orders[i], angles)
            if i in self.mamba_indices:
                patches = self.mamba_adapters[len(maps)](x[:, 1:])
                maps.append(patches.mT.unflatten(2, grid).contiguous())
        return maps

    def _fit_positions(self, state_dict: dict, prefix: str, *_) -> None:
        """Resize a checkpoint's positions to this model's grid."""
        key = f'{prefix}pos_embed'
        if key in state_dict:
            state_dict[key] = self.positions.fit(state_dict[key])
