"""VMamba, a hierarchical encoder on the 2-D selective scan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import OptionError
from ...layers import DIRECTIONS, VSSBlock, pad_to_multiple
from .checkpoint import refuse_other_architecture

# what the blocks of all releases but the first share
_LATER = dict(d_state=1, mlp_ratio=4.0, gated=False, conv_bias=False, overlap=True)


@MODELS.register_module()
class VMamba(BaseModule):
    """Visual state-space model (VMamba, Liu et al., arXiv:2401.10166).

    Patches of the image, and four stages of visual state-space blocks, after each of which but the last the
    map is halved and its channels change.

    Released weights load by ``init_cfg=dict(type='Pretrained', checkpoint=…)``, plain or under ``model``.
    Where their patches are of another size or of other bands, the embedding of these stays as it starts.

    Args:
        arch (str | dict): ``'s2l5'`` or ``'s1l8'``, the two tiny ones of later releases, ``'small'`` or
            ``'base'`` of the paper (30, 29, 49 and 88 M parameters); ``'v0'``, the tiny one of the first
            release, whose blocks have no MLP; or a dict of ``embed_dims`` and ``depths``, four numbers
            each, and ``d_state``, ``ssm_ratio`` and ``mlp_ratio`` as :class:`~rsmamba_mm.layers.VSSBlock`
            has them, and optionally its ``gated`` and ``conv_bias`` (both True if left out) and
            ``overlap``: whether convolutions of 3 px embed the patches and halve the maps, as in all
            releases but the first, and not patches and groups of four neighbours that lie side by side,
            of maps of odd sides continued by one row or column (False if left out). Defaults to ``'v0'``.
        in_channels (int): Bands of the images. Defaults to 3.
        patch_size (int): Stride of the first stage; where patches overlap it is 4. Defaults to 4.
        drop_path_rate (float): Rate of stochastic depth of the last block, from 0 in the first. Defaults
            to 0.2.
        out_indices (Sequence[int]): Stages whose maps are returned. Defaults to ``(0, 1, 2, 3)``.
        out_norm (bool): Whether each of these maps passes a layer norm of its own. Defaults to True.
        with_cp (bool): Whether blocks are run again in the backward to save memory. Defaults to False.
        frozen_stages (int): Stages to freeze, with their norms, and what embeds the patches from 0 on; -1
            for none. Defaults to -1.
        orders (Sequence[str]): Scan orders of all blocks. Defaults to rows, columns and both backwards.
        shuffle_seed (int): Seed of the first block's random orders in evaluation, 1 more for each block
            that follows. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None: truncated normal linear layers.

    Raises:
        OptionError: If the arch is unknown or has other keys, a stage to return or to freeze is not there,
            or overlapping patches are to have another stride than 4.
        ValueError: If a size is not positive, or an order is unknown.
        CheckpointError: If weights of other stages are loaded.
    """

    arch_zoo = {
        'v0': dict(
            embed_dims=(96, 192, 384, 768), depths=(2, 2, 9, 2), d_state=16, ssm_ratio=2.0, mlp_ratio=0.0
        ),
        's2l5': dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 5, 2), ssm_ratio=2.0, **_LATER),
        's1l8': dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 8, 2), ssm_ratio=1.0, **_LATER),
        'small': dict(embed_dims=(96, 192, 384, 768), depths=(2, 2, 15, 2), ssm_ratio=2.0, **_LATER),
        'base': dict(embed_dims=(128, 256, 512, 1024), depths=(2, 2, 15, 2), ssm_ratio=2.0, **_LATER),
    }

    def __init__(
        self,
        arch: str | dict = 'v0',
        in_channels: int = 3,
        patch_size: int = 4,
        drop_path_rate: float = 0.2,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        out_norm: bool = True,
        with_cp: bool = False,
        frozen_stages: int = -1,
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0)
        super().__init__(init_cfg)
        settings = self._arch_settings(arch)
        dims, depths = settings.pop('embed_dims'), settings.pop('depths')
        overlap = settings.pop('overlap', False)
        if overlap and patch_size != 4:
            raise OptionError(
                f'VMamba: overlapping patches have a stride of 4, got patch_size={patch_size}'
            )
        if frozen_stages not in range(-1, 5):
            raise OptionError(f'VMamba: frozen_stages must be in -1 … 4, got {frozen_stages!r}')
        if not out_indices or any(i not in range(4) for i in out_indices):
            raise OptionError(f'VMamba: out_indices are stages from 0 to 3, got {out_indices!r}')
        self.out_indices, self.with_cp, self.frozen_stages = tuple(out_indices), with_cp, frozen_stages
        self.out_channels = [dims[i] for i in out_indices]
        rates, seeds = iter(np.linspace(0, drop_path_rate, sum(depths)).tolist()), count(shuffle_seed)
        embed, merge = (_OverlappingEmbed, _Downsampling) if overlap else (_PatchEmbed, _PatchMerging)
        self.patch_embed = embed(in_channels, dims[0], patch_size)
        self.layers = ModuleList(
            _Stage(
                [
                    VSSBlock(dim, next(rates), **settings, orders=orders, shuffle_seed=next(seeds))
                    for _ in range(depth)
                ],
                merge(dim, wider) if wider else None,
            )
            for dim, depth, wider in zip(dims, depths, (*dims[1:], None), strict=True)
        )
        for i in self.out_indices:
            self.add_module(f'norm{i}', nn.LayerNorm(dims[i]) if out_norm else nn.Identity())
        for module in self._frozen_modules():
            module.requires_grad_(False)

    @classmethod
    def _arch_settings(cls, arch: str | dict) -> dict:
        if isinstance(arch, str):
            if arch not in cls.arch_zoo:
                raise OptionError(f'VMamba: unknown arch {arch!r}. Choose from: {", ".join(cls.arch_zoo)}.')
            return dict(cls.arch_zoo[arch])
        keys, optional = cls.arch_zoo['v0'].keys(), {'gated', 'conv_bias', 'overlap'}
        if arch.keys() - optional != keys or any(len(arch[key]) != 4 for key in ('embed_dims', 'depths')):
            raise OptionError(
                f'VMamba: arch as a dict has {", ".join(keys)}, of which the first two have four numbers, '
                f'and optionally gated, conv_bias and overlap, got {dict(arch)!r}'
            )
        return dict(arch)

    def train(self, mode: bool = True) -> VMamba:
        """Switch mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        norms = [f'norm{i}' for i in self.out_indices if i < self.frozen_stages]
        return [self.patch_embed, *self.layers[: self.frozen_stages], *map(self.get_submodule, norms)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images of any size.

        Args:
            x (Tensor): ``(B, in_channels, H, W)``.

        Returns:
            tuple[Tensor, ...]: The maps of ``out_indices``, ``(B, embed_dims[i], H / s, W / s)`` with the
            strides ``patch_size``, and twice, 4 and 8 times as much, rounded up.
        """
        maps, x = [], self.patch_embed(x)
        for i, stage in enumerate(self.layers):
            for block in stage.blocks:
                if self.with_cp and torch.is_grad_enabled():
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
            if i in self.out_indices:
                maps.append(self.get_submodule(f'norm{i}')(x).permute(0, 3, 1, 2))
            if stage.downsample is not None and i < max(self.out_indices):
                x = stage.downsample(x)
        return tuple(maps)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # scripts that train classifiers keep the weights under 'model'
        for name, x in state_dict.pop(f'{prefix}model', {}).items():
            state_dict[prefix + name] = x
        for name in [name for name in state_dict if name.startswith(prefix)]:
            ours, tensor = from_release(name.removeprefix(prefix), state_dict.pop(name))
            state_dict[prefix + ours] = tensor
        for name, parameter in self.patch_embed.named_parameters():
            weight = state_dict.get(key := f'{prefix}patch_embed.{name}')
            # of another size or of other bands: with it goes its bias
            if name.endswith('weight') and weight is not None and weight.shape != parameter.shape:
                del state_dict[key], state_dict[key.replace('weight', 'bias')]
        refuse_other_architecture(self, state_dict, prefix, ('layers.',))
        super()._load_from_state_dict(state_dict, prefix, *args)


def from_release(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A parameter of any release as it is here, where linear layers are no convolutions of one pixel."""
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    if name.endswith(('_proj.weight', 'fc1.weight', 'fc2.weight')) and tensor.dim() == 4:
        tensor = tensor.flatten(1)
    return f'norm3.{name[5:]}' if name.startswith('norm.') else name, tensor


# parts of the names of the first release, then of the later ones
_NAMES = {
    '.ln_1.': '.norm.',
    '.self_attention.': '.op.',
    'patch_embed.0.': 'patch_embed.convs.0.',
    'patch_embed.2.': 'patch_embed.norms.0.',
    'patch_embed.5.': 'patch_embed.convs.1.',
    'patch_embed.7.': 'patch_embed.norms.1.',
    'downsample.1.': 'downsample.conv.',
    'downsample.3.': 'downsample.norm.',
    'classifier.norm.': 'norm3.',
}


class _PatchEmbed(nn.Module):
    """Patches that do not overlap, normalised: ``(B, C, H, W)`` to ``(B, H / s, W / s, dim)``."""

    def __init__(self, in_channels: int, dim: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.proj = nn.Conv2d(in_channels, dim, size, stride=size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(pad_to_multiple(x, self.size)).permute(0, 2, 3, 1))


class _PatchMerging(nn.Module):
    """Four neighbours into one: ``(B, H, W, dim)`` to ``(B, H / 2, W / 2, out_dim)``."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, out_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = pad_to_multiple(x.permute(0, 3, 1, 2), 2)
        # joined down the columns, as the released weights have it
        return self.reduction(self.norm(rearrange(x, 'b c (h i) (w j) -> b h w (j i c)', i=2, j=2)))


class _OverlappingEmbed(nn.Module):
    """Two convolutions that halve the image: ``(B, C, H, W)`` to ``(B, H / 4, W / 4, dim)``."""

    def __init__(self, in_channels: int, dim: int, size: int) -> None:
        super().__init__()
        pairs = (in_channels, dim // 2), (dim // 2, dim)
        self.convs = ModuleList(nn.Conv2d(*pair, 3, stride=2, padding=1) for pair in pairs)
        self.norms = ModuleList(nn.LayerNorm(width) for _, width in pairs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norms[0](self.convs[0](x).permute(0, 2, 3, 1)))
        return self.norms[1](self.convs[1](x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class _Downsampling(nn.Module):
    """A convolution that halves the map: ``(B, H, W, dim)`` to ``(B, H / 2, W / 2, out_dim)``."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class _Stage(nn.Module):
    """Blocks and what follows them, under the released names."""

    def __init__(self, blocks: list[VSSBlock], downsample: _PatchMerging | None) -> None:
        super().__init__()
        self.blocks, self.downsample = ModuleList(blocks), downsample
