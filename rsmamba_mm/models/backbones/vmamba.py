"""VMamba, a hierarchical encoder on the 2-D selective scan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch
from einops import rearrange
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import OptionError
from ...layers import DIRECTIONS, VSSBlock, pad_to_multiple
from .checkpoint import refuse_other_architecture


@MODELS.register_module()
class VMamba(BaseModule):
    """Visual state-space model (VMamba, Liu et al., arXiv:2401.10166).

    Patches of the image, and four stages of visual state-space blocks, between which four neighbours merge
    into one of twice the channels. Maps of odd sides are continued by one row or column first.

    Released weights load by ``init_cfg=dict(type='Pretrained', checkpoint=…)``, plain or under ``model``.
    Where their patches are of another size or of other bands, the embedding of these stays as it starts.

    Args:
        arch (str | dict): ``'v0'``, the tiny one of the first release, whose blocks have no MLP; or a dict
            of ``embed_dims`` and ``depths``, four numbers each, and ``d_state``, ``ssm_ratio`` and
            ``mlp_ratio`` as :class:`~rsmamba_mm.layers.VSSBlock` has them. Defaults to ``'v0'``.
        in_channels (int): Bands of the images. Defaults to 3.
        patch_size (int): Side of the patches, which do not overlap. Defaults to 4.
        drop_path_rate (float): Rate of stochastic depth of the last block, from 0 in the first. Defaults
            to 0.2.
        out_indices (Sequence[int]): Stages whose maps are returned. Defaults to ``(0, 1, 2, 3)``.
        out_norm (bool): Whether each of these maps passes a layer norm of its own. Defaults to True.
        with_cp (bool): Whether blocks are run again in the backward to save memory. Defaults to False.
        orders (Sequence[str]): Scan orders of all blocks. Defaults to rows, columns and both backwards.
        shuffle_seed (int): Seed of the first block's random orders in evaluation, 1 more for each block
            that follows. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None: truncated normal linear layers.

    Raises:
        OptionError: If the arch is unknown or has other keys, or a stage does not exist.
        ValueError: If a size is not positive, or an order is unknown.
        CheckpointError: If weights of other stages are loaded.
    """

    arch_zoo = {
        'v0': dict(
            embed_dims=(96, 192, 384, 768), depths=(2, 2, 9, 2), d_state=16, ssm_ratio=2.0, mlp_ratio=0.0
        )
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
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0)
        super().__init__(init_cfg)
        settings = self._arch_settings(arch)
        dims, depths = settings.pop('embed_dims'), settings.pop('depths')
        if not out_indices or any(i not in range(4) for i in out_indices):
            raise OptionError(f'VMamba: out_indices are stages from 0 to 3, got {out_indices!r}')
        self.out_indices, self.with_cp = tuple(out_indices), with_cp
        self.out_channels = [dims[i] for i in out_indices]
        rates, seeds = iter(np.linspace(0, drop_path_rate, sum(depths)).tolist()), count(shuffle_seed)
        self.patch_embed = _PatchEmbed(in_channels, dims[0], patch_size)
        self.layers = ModuleList(
            _Stage(
                [
                    VSSBlock(dim, next(rates), **settings, orders=orders, shuffle_seed=next(seeds))
                    for _ in range(depth)
                ],
                _PatchMerging(dim, wider) if wider else None,
            )
            for dim, depth, wider in zip(dims, depths, (*dims[1:], None), strict=True)
        )
        for i in self.out_indices:
            self.add_module(f'norm{i}', nn.LayerNorm(dims[i]) if out_norm else nn.Identity())

    @classmethod
    def _arch_settings(cls, arch: str | dict) -> dict:
        if isinstance(arch, str):
            if arch not in cls.arch_zoo:
                raise OptionError(f'VMamba: unknown arch {arch!r}. Choose from: {", ".join(cls.arch_zoo)}.')
            return dict(cls.arch_zoo[arch])
        keys = cls.arch_zoo['v0'].keys()
        if arch.keys() != keys or any(len(arch[key]) != 4 for key in ('embed_dims', 'depths')):
            raise OptionError(
                f'VMamba: arch as a dict has {", ".join(keys)}, of which the first two have four numbers, '
                f'got {dict(arch)!r}'
            )
        return dict(arch)

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
            state_dict[prefix + _our_name(name.removeprefix(prefix))] = state_dict.pop(name)
        weight = state_dict.get(f'{prefix}patch_embed.proj.weight')
        if weight is not None and weight.shape != self.patch_embed.proj.weight.shape:
            for kind in ('weight', 'bias'):
                del state_dict[f'{prefix}patch_embed.proj.{kind}']
        refuse_other_architecture(self, state_dict, prefix, ('layers.',))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _our_name(name: str) -> str:
    """The name of a parameter of the first release here, of whose parts two are called otherwise."""
    name = name.replace('.ln_1.', '.norm.').replace('.self_attention.', '.op.')
    return f'norm3.{name[5:]}' if name.startswith('norm.') else name


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


class _Stage(nn.Module):
    """Blocks and what follows them, under the released names."""

    def __init__(self, blocks: list[VSSBlock], downsample: _PatchMerging | None) -> None:
        super().__init__()
        self.blocks, self.downsample = ModuleList(blocks), downsample
