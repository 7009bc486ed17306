"""RSMamba: remote sensing image classification with a state space model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...layers import (
    ClassSlots,
    ConvStem,
    LocalMix,
    MultiPathMamba,
    TokenPositions,
    any_random,
    block_orders,
    known_orders,
)
from ...layers.embed import PE_TYPES, RESIZE_MODES
from ...layers.options import (
    check_images,
    check_numbers,
    check_seed,
    check_sides,
    check_sizes,
    is_integer,
    naming,
)
from ...layers.tokens import CLS_POSITIONS
from .checkpoint import refuse_other_architecture
from .mamba_config import mixer_options
from .pretrained import adopt_pretrained

# released name -> (scan orders, how the paths are merged)
PATH_TYPES = {
    'forward': (('forward',), 'mean'),
    'forward_reverse_mean': (('forward', 'reverse'), 'mean'),
    'forward_reverse_gate': (('forward', 'reverse'), 'gate'),
    'forward_reverse_shuffle_mean': (('forward', 'reverse', 'shuffle'), 'mean'),
    'forward_reverse_shuffle_gate': (('forward', 'reverse', 'shuffle'), 'gate'),
}
OUT_TYPES = ('avg_featmap', 'cls_token', 'featmap', 'raw')
MERGES = ('gate', 'mean')


@MODELS.register_module()
class RSMamba(BaseModule):
    """RSMamba backbone (Chen et al., GRSL 2024, arXiv:2403.19654).

    An image becomes a sequence of overlapping patches; each block scans it along several orders with
    one shared Mamba mixer and merges the paths by a learned gate. Parameters bear the released names,
    so released checkpoints load as they are.

    Args:
        arch (str | dict): ``'base'``, ``'large'``, ``'huge'``, ``'small'`` (in the released code only), or
            their initials, or a dict of ``embed_dims``, ``num_layers`` and ``feedforward_channels``.
            Defaults to ``'base'``.
        pe_type (str): Position encoding: ``'learnable'``, ``'sine'`` (2-D, the paper's "Fourier") or
            ``'none'``. Defaults to ``'learnable'``.
        path_type (str | Sequence[str] | dict): A released name (``'forward'``,
            ``'forward_reverse_mean'``, ``'forward_reverse_gate'``, ``'forward_reverse_shuffle_mean'``,
            ``'forward_reverse_shuffle_gate'``), a list of registered scan orders, merged by the gate,
            or ``dict(orders=[…], merge='gate' | 'mean')``. Defaults to
            ``'forward_reverse_shuffle_gate'``.
        cls_position (str): Class tokens: ``'none'``, ``'head'``, ``'tail'``, ``'head_tail'`` or
            ``'middle'`` (at L // 2). Defaults to ``'none'``.
        img_size (int | tuple): Image size (h, w) of the learned positions; other sizes are accepted,
            with the positions resized. Defaults to 224.
        patch_size (int | tuple): Kernel of the patch embedding. Defaults to 16.
        in_channels (int): Bands of the image. Defaults to 3.
        out_indices (int | Sequence[int]): Blocks whose output is returned. Defaults to -1.
        drop_rate (float): Dropout after the position encoding. Defaults to 0.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly from 0. Defaults
            to 0.
        norm_cfg (dict): Normalisation. Defaults to ``dict(type='LN', eps=1e-6)``.
        shared_pre_norm (bool): Whether all blocks share one PreNorm, as released. Defaults to True.
        final_norm (bool): Whether a norm follows the last block. Defaults to True.
        out_type (str): ``'avg_featmap'`` (mean of the patch tokens, then norm, ``(B, C)``),
            ``'cls_token'`` (``(B, C)``), ``'featmap'`` (``(B, C, h, w)``) or ``'raw'``
            (``(B, L, C)``, class tokens included). Defaults to ``'avg_featmap'``.
        frozen_stages (int): Number of first blocks to freeze, with the embeddings and the shared
            PreNorm; below 1 nothing is. Defaults to -1.
        interpolate_mode (str): How positions are resized. Defaults to ``'bicubic'``.
        patch_cfg (dict): Other options of mmcv's ``PatchEmbed``. The stride is half the patch size
            unless it is given here, as in all released configs. Defaults to an empty dict.
        stem (dict, optional): Options of a :class:`~rsmamba_mm.layers.ConvStem` that makes the tokens in
            place of the patch embedding; not in the paper, for small data. Defaults to None.
        local_kernel (int): Side of a depthwise convolution of the patch tokens on their grid before each
            block (:class:`~rsmamba_mm.layers.LocalMix`), 0 for none; not in the paper, for small data.
            Defaults to 0.
        layer_cfgs (dict | Sequence[dict]): Options of all mixers or of each, by the names of
            :class:`rsmamba_mm.layers.MultiPathMamba` or of the released configs. Defaults to an empty
            dict.
        with_cp (bool): Whether to recompute the blocks in the backward to save memory. Defaults to
            False.
        shuffle_seed (int): Seed of the shuffles in evaluation, which are the same on every device,
            rank and call. Defaults to 0.
        eval_shuffles (int): Over how many fixed shuffles the output is averaged in evaluation (with a
            linear head: the prediction); test-time augmentation. Defaults to 1.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If an option is not one of those listed, or ``layer_cfgs`` asks for what there is not.
        TypeError: If ``arch`` or ``layer_cfgs`` has keys that mean nothing here.

    Examples:
        >>> model = RSMamba('base')
        >>> model(torch.rand(1, 3, 224, 224))[0].shape
        torch.Size([1, 192])
    """

    arch_zoo = {
        'small': dict(embed_dims=192, num_layers=16, feedforward_channels=384),
        'base': dict(embed_dims=192, num_layers=24, feedforward_channels=384),
        'large': dict(embed_dims=256, num_layers=36, feedforward_channels=512),
        'huge': dict(embed_dims=320, num_layers=48, feedforward_channels=640),
    }
    arch_zoo |= {name[0]: settings for name, settings in arch_zoo.items()}

    def __init__(
        self,
        arch: str | dict = 'base',
        pe_type: str = 'learnable',
        path_type: str | Sequence[str] | dict = 'forward_reverse_shuffle_gate',
        cls_position: str = 'none',
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='LN', eps=1e-6),  # noqa: B006 - never written to
        shared_pre_norm: bool = True,
        final_norm: bool = True,
        out_type: str = 'avg_featmap',
        frozen_stages: int = -1,
        interpolate_mode: str = 'bicubic',
        patch_cfg: dict = dict(),  # noqa: B006 - never written to
        stem: dict | None = None,
        local_kernel: int = 0,
        layer_cfgs: dict | Sequence[dict] = dict(),  # noqa: B006 - never written to
        with_cp: bool = False,
        shuffle_seed: int = 0,
        eval_shuffles: int = 1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        arch = self._arch_settings(arch)
        self.embed_dims, self.num_layers = arch['embed_dims'], arch['num_layers']
        self.in_channels = in_channels
        check_sizes(name, in_channels=in_channels)
        check_sides(name, img_size=img_size, patch_size=patch_size)
        check_numbers(name, below=1, drop_rate=drop_rate, drop_path_rate=drop_path_rate)
        check_seed(name, shuffle_seed)
        self.pe_type = _choice(f'{name}: unknown pe_type', pe_type, PE_TYPES)
        self.cls_position = _choice(f'{name}: unknown cls_position', cls_position, CLS_POSITIONS)
        self.slots = ClassSlots(cls_position)
        self.out_type = _choice(f'{name}: unknown out_type', out_type, OUT_TYPES)
        if out_type == 'cls_token' and cls_position == 'none':
            raise ValueError(
                f"{name}: out_type='cls_token' needs a class token: set cls_position to "
                "'head', 'tail', 'head_tail' or 'middle'"
            )
        self.orders, merge = _paths(name, path_type)
        if not is_integer(eval_shuffles) or eval_shuffles < 1:
            raise ValueError(f'{name}: eval_shuffles must be at least 1, got {eval_shuffles}')
        self.out_indices = self._block_indices(out_indices)
        if frozen_stages not in range(-1, self.num_layers + 1):
            raise ValueError(
                f'{name}: frozen_stages must be in -1 … {self.num_layers}, got {frozen_stages}'
            )
        self.frozen_stages = frozen_stages
        self.final_norm = final_norm
        self.interpolate_mode = _choice(f'{name}: unknown interpolate_mode', interpolate_mode, RESIZE_MODES)
        self.with_cp = with_cp
        self.shuffle_seed = shuffle_seed
        self.eval_shuffles = eval_shuffles

        self.patch_embed, self.patch_resolution = self._embedding(
            in_channels, to_2tuple(img_size), to_2tuple(patch_size), patch_cfg, stem
        )

        num_cls = self.slots.count
        self.num_extra_tokens = num_cls  # asked for by mmpretrain's vis_cam
        self.cls_token = nn.Parameter(torch.zeros(1, num_cls, self.embed_dims)) if num_cls else None
        self.positions = TokenPositions(
            pe_type, self.patch_resolution, self.embed_dims, self.slots, interpolate_mode
        )
        self.pos_embed = self.positions.new_parameter()
        self.drop_after_pos = nn.Dropout(drop_rate)

        options = self._layer_options(layer_cfgs, arch)
        self.layers = ModuleList(MultiPathMamba(self.embed_dims, **opts) for opts in options)
        self.gate_layers = ModuleList()
        if merge == 'gate' and len(self.orders) > 1:
            paths = len(self.orders)
            self.gate_layers.extend(
                nn.Sequential(nn.Linear(paths * self.embed_dims, paths, bias=False), nn.Softmax(dim=-1))
                for _ in options
            )
        with naming(f'{name}: local_kernel', local_kernel):
            mixes = [LocalMix(self.embed_dims, local_kernel) for _ in options] if local_kernel != 0 else []
        self.local_mixes = ModuleList(mixes)
        last = max(1, self.num_layers - 1)
        rates = [drop_path_rate * i / last for i in range(self.num_layers)]
        self.drop_paths = ModuleList(DropPath(rate) if rate else nn.Identity() for rate in rates)

        def norm() -> nn.Module:
            with naming(f'{name}: norm_cfg', norm_cfg):
                return build_norm_layer(norm_cfg, self.embed_dims)[1]

        self.pre_norm = norm() if shared_pre_norm else ModuleList(norm() for _ in options)
        if final_norm:
            self.ln1 = norm()
        if out_type == 'avg_featmap':
            self.ln2 = norm()

        self._register_load_state_dict_pre_hook(self._prepare_checkpoint)
        self._freeze()

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``, and the positions by a normal truncated at std 0.02."""
        self.positions.init(self.pos_embed)
        super().init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x (Tensor): Images ``(B, in_channels, H, W)`` of any size.

        Returns:
            tuple[Tensor]: One output for each of ``out_indices``, of the form that ``out_type`` says.

        Raises:
            ValueError: If the images have other bands.
        """
        check_images(type(self).__name__, x, self.in_channels)
        x, grid = self.patch_embed(x)
        x = self.drop_after_pos(self._embed(x, grid))
        if self.training or self.eval_shuffles == 1 or not any_random(self.orders):
            return self.run_blocks(x, grid, self._block_orders(grid, x.device))
        runs = [
            self.run_blocks(x, grid, self._block_orders(grid, x.device, draw))
            for draw in range(self.eval_shuffles)
        ]
        return tuple(torch.stack(outs).mean(0) for outs in zip(*runs, strict=True))

    def train(self, mode: bool = True) -> RSMamba:
        """Switch mode; frozen blocks stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, for mmpretrain's layer-wise learning rate decay.

        Args:
            param_name (str): Name of the parameter in the whole model.
            prefix (str): Name of the backbone in it, with a dot. Defaults to ''.

        Returns:
            tuple[int, int]: Its depth, 0 for the embeddings, and the number of depths.
        """
        depths = self.num_layers + 2
        if not param_name.startswith(prefix):
            return depths - 1, depths
        name = param_name[len(prefix) :]
        if name.startswith(('pos_embed', 'cls_token', 'patch_embed')):
            return 0, depths
        # the shared PreNorm serves the first block as well as the last
        if name.startswith('pre_norm') and not isinstance(self.pre_norm, ModuleList):
            return 0, depths
        if name.startswith(('layers.', 'gate_layers.', 'local_mixes.', 'pre_norm.')):
            return int(name.split('.')[1]) + 1, depths
        return depths - 1, depths

    # tokens ------------------------------------------------------------------------------------

    def _cls_slots(self, num_patches: int) -> list[int]:
        """Where the class tokens stand in the sequence."""
        return self.slots.indices(num_patches)

    def _embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Add class tokens and positions to patch tokens."""
        if self.cls_token is not None:
            x = self.slots.insert(x, self.cls_token.expand(len(x), -1, -1).to(x.dtype))
        return self.positions.add(x, grid, self.pos_embed)

    # blocks ------------------------------------------------------------------------------------

    def _block_orders(self, grid: tuple[int, int], device: torch.device, draw: int = 0) -> Tensor:
        """The scan orders of each block, ``(num_layers, K, L)``."""
        slots = self._cls_slots(grid[0] * grid[1])
        seed = self.shuffle_seed + draw
        return block_orders(self.orders, grid, device, self.training, self.num_layers, seed, slots)

    def run_blocks(self, x: Tensor, grid: tuple[int, int], block_orders: Tensor) -> tuple[Tensor, ...]:
        """Run the blocks on tokens that are embedded.

        Args:
            x (Tensor): ``(B, L, C)``, class tokens included.
            grid (tuple[int, int]): Height and width of the token grid; of no matter to ``out_type='raw'``,
                which takes any sequence.
            block_orders (Tensor): ``(num_layers, K, L)`` int64.

        Returns:
            tuple[Tensor]: As :meth:`forward`.
        """
        outs = []
        for i, orders in enumerate(block_orders):
            if len(self.local_mixes):
                patches, cls_tokens = self.slots.split(x)
                x = self.slots.insert(self.local_mixes[i](patches, grid), cls_tokens)
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(self._block, x, orders, i, use_reentrant=False)
            else:
                x = self._block(x, orders, i)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, grid))
        return tuple(outs)

    def _block(self, x: Tensor, orders: Tensor, i: int) -> Tensor:
        norm = self.pre_norm[i] if isinstance(self.pre_norm, ModuleList) else self.pre_norm
        gate = self.gate_layers[i] if len(self.gate_layers) else None
        return x + self.drop_paths[i](self.layers[i](norm(x), orders, gate))

    def _format_output(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        if self.out_type == 'raw':
            return x
        patches, cls_tokens = self.slots.split(x)
        if self.out_type == 'cls_token':
            return cls_tokens.mean(1)
        if self.out_type == 'featmap':
            return patches.mT.unflatten(2, grid).contiguous()
        return self.ln2(patches.mean(1))

    # construction and checkpoints --------------------------------------------------------------

    def _arch_settings(self, arch: str | dict) -> dict:
        name = type(self).__name__
        if isinstance(arch, str):
            return self.arch_zoo[_choice(f'{name}: unknown arch', arch.lower(), self.arch_zoo)]
        keys = {'embed_dims', 'num_layers', 'feedforward_channels'}
        if not isinstance(arch, Mapping) or set(arch) != keys:
            raise TypeError(
                f'{name}: a custom arch is a dict of exactly {", ".join(sorted(keys))}, got {arch!r}'
            )
        for key, value in arch.items():
            if not is_integer(value) or value < 1:
                raise ValueError(f'{name}: arch {key} must be a positive integer, got {value!r}')
        return dict(arch)

    def _embedding(
        self, in_channels: int, img_size: tuple, patch_size: tuple, patch_cfg: dict, stem: dict | None
    ) -> tuple[nn.Module, tuple[int, int]]:
        """What makes tokens of an image, and the grid of those of one of ``img_size``."""
        name = type(self).__name__
        if stem is not None:
            if patch_cfg:
                raise ValueError(f'{name}: a stem takes the place of the patches: leave patch_cfg out')
            with naming(f'{name}: stem', stem):
                embed = ConvStem(in_channels, self.embed_dims, **stem)
            return embed, embed.grid(*img_size)
        defaults = dict(stride=tuple(max(1, size // 2) for size in patch_size), bias=False)
        with naming(f'{name}: patch_cfg', patch_cfg):
            embed = PatchEmbed(
                in_channels=in_channels,
                embed_dims=self.embed_dims,
                input_size=img_size,
                **{'kernel_size': patch_size, **defaults, **patch_cfg},
            )
            check_sides('PatchEmbed', dilation=tuple(embed.projection.dilation))
        return embed, embed.init_out_size

    def _layer_options(self, layer_cfgs: dict | Sequence[dict], arch: dict) -> list[dict]:
        """Options of each mixer by its own argument names."""
        name = type(self).__name__
        if isinstance(layer_cfgs, Mapping):
            layer_cfgs = [layer_cfgs] * self.num_layers
        if not isinstance(layer_cfgs, Sequence) or not all(isinstance(cfg, Mapping) for cfg in layer_cfgs):
            raise ValueError(
                f'{name}: layer_cfgs is a dict, or a list of one for each block, got {layer_cfgs!r}'
            )
        if len(layer_cfgs) != self.num_layers:
            raise ValueError(
                f'{name}: layer_cfgs lists {len(layer_cfgs)} layers, the arch has {self.num_layers}'
            )
        defaults = dict(d_inner=arch['feedforward_channels'])
        options = [{**defaults, **mixer_options(cfg, self.embed_dims, name)} for cfg in layer_cfgs]
        paths = len(self.orders)
        for sets in {opts.get('weight_sets', 1) for opts in options} - {1, paths}:
            raise ValueError(
                f'{name}: weight_sets in layer_cfgs must be 1 or the number of scan orders, {paths}, '
                f'got {sets!r}'
            )
        return options

    def _block_indices(self, out_indices: int | Sequence[int]) -> tuple[int, ...]:
        several = isinstance(out_indices, Sequence) and not isinstance(out_indices, str)
        indices = list(out_indices) if several else [out_indices]
        if not indices or not all(map(is_integer, indices)):
            raise ValueError(
                f'{type(self).__name__}: out_indices must be the number of a block, or a list of them, '
                f'got {out_indices!r}'
            )
        for index in indices:
            if not -self.num_layers <= index < self.num_layers:
                raise ValueError(
                    f'{type(self).__name__}: out_indices has {index}, but the blocks are '
                    f'0 … {self.num_layers - 1} (or negative, from the end)'
                )
        blocks = tuple(index % self.num_layers for index in indices)
        if len(set(blocks)) < len(blocks):
            raise ValueError(f'{type(self).__name__}: out_indices names a block twice: {list(indices)}')
        return blocks

    def _frozen_modules(self) -> list[nn.Module]:
        n = self.frozen_stages
        if n < 1:
            return []
        modules = [self.patch_embed, self.drop_after_pos]
        blocks = [self.layers, self.gate_layers, self.local_mixes, self.drop_paths]
        if isinstance(self.pre_norm, ModuleList):
            blocks.append(self.pre_norm)
        else:
            modules.append(self.pre_norm)
        modules += [module for block in blocks for module in block[:n]]
        if n == self.num_layers:
            modules += [getattr(self, name) for name in ('ln1', 'ln2') if hasattr(self, name)]
        return modules

    def _freeze(self) -> None:
        modules = self._frozen_modules()
        for module in modules:
            module.requires_grad_(False)
        if modules:
            for parameter in (self.pos_embed, self.cls_token):
                if parameter is not None:
                    parameter.requires_grad_(False)

    def _prepare_checkpoint(self, state_dict: dict, prefix: str, *_) -> None:
        """Resize a checkpoint's positions to this model's grid; refuse another architecture."""
        adopt_pretrained(self, state_dict, prefix)
        key = f'{prefix}pos_embed'
        if key in state_dict and self.pos_embed is not None:
            state_dict[key] = self.positions.fit(state_dict[key])
        refuse_other_architecture(
            self,
            state_dict,
            prefix,
            required=('layers.', 'gate_layers.', 'local_mixes.', 'patch_embed.'),
        )


def _choice(unknown: str, value: str, valid) -> str:
    if not isinstance(value, str) or value not in valid:
        raise ValueError(f'{unknown} {value!r}. Choose from: {", ".join(valid)}.')
    return value


def _paths(owner: str, path_type: str | Sequence[str] | dict) -> tuple[tuple[str, ...], str]:
    """Scan orders and merge of a path type."""
    if isinstance(path_type, str):
        if path_type not in PATH_TYPES:
            raise ValueError(
                f'{owner}: unknown path_type {path_type!r}. Choose from: {", ".join(PATH_TYPES)}; or '
                "give a list of scan orders, or dict(orders=[…], merge='gate' or 'mean')."
            )
        return PATH_TYPES[path_type]
    merge = 'gate'
    if isinstance(path_type, Mapping):
        unknown = set(path_type) - {'orders', 'merge'}
        if unknown or 'orders' not in path_type:
            raise TypeError(
                f"{owner}: path_type as a dict has the keys 'orders' and, optionally, 'merge', got "
                f'{dict(path_type)!r}'
            )
        merge = _choice(f'{owner}: unknown merge in path_type', path_type.get('merge', merge), MERGES)
        path_type = path_type['orders']
    return known_orders(f'{owner}: path_type', path_type), merge
