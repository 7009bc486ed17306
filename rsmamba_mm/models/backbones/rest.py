"""ResT, the encoder of UNetMamba."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ...layers import Mlp
from ...layers.options import check_images, check_integers, check_numbers, check_several, check_sizes
from ...ops.numerics import is_exporting
from .checkpoint import refuse_other_architecture

STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class ResT(BaseModule):
    """Efficient transformer for visual recognition (ResT, arXiv:2105.13677), as UNetMamba encodes images.

    Four stages of convolutions for position and scale and of attention whose keys and values come from
    fewer tokens. Parameters bear the released names: released ImageNet weights of ResT, with or without the
    classifier's head, plain or under ``model``, load by ``init_cfg=dict(type='Pretrained', checkpoint=…)``,
    the encoder of a released UNetMamba after ``tools/model_converters/released_to_mm.py rest``.

    Args:
        arch (str | dict): ``'lite'``, ``'small'``, ``'base'``, ``'large'``, or a dict of ``embed_dims``,
            ``num_heads``, ``depths`` and ``sr_ratios``, four numbers each; also ``'tiny'``, a size of this
            package for trainings of minutes, which the paper does not have. Defaults to ``'lite'``.
        in_channels (int): Bands of the images. Defaults to 3.
        mlp_ratio (float): Hidden channels of the MLPs over their width. Defaults to 4.
        qkv_bias (bool): Whether queries, keys and values have a bias. Defaults to True.
        drop_rate (float): Dropout in MLPs and after attention. Defaults to 0.
        drop_path_rate (float): Rate of stochastic depth of the last block, from 0 in the first. Defaults
            to 0.
        out_indices (Sequence[int]): Stages whose maps are returned. Defaults to ``(0, 1, 2, 3)``.
        frozen_stages (int): The stem and the first stages up to this one, from 0, take no gradient; -1
            freezes nothing. Defaults to -1.
        norm_eval (bool): Whether batch normalisation stays in evaluation mode. Defaults to False.
        with_cp (bool): Whether blocks are run again in the backward to save memory. Defaults to False.
        init_cfg (dict, optional): Initialisation. Defaults to None: truncated normal linear layers and
            Kaiming convolutions.

    Raises:
        ValueError: If an option has no meaning, such as an unknown arch or a width that the heads do not
        divide.
    """

    arch_zoo = {
        'tiny': dict(
            embed_dims=(24, 48, 96, 144),
            num_heads=(1, 2, 4, 8),
            depths=(1, 1, 2, 2),
            sr_ratios=(8, 4, 2, 1),
        )
    } | {
        name: dict(
            embed_dims=tuple(width * 2**stage for stage in range(4)),
            num_heads=(1, 2, 4, 8),
            depths=(2, 2, third, 2),
            sr_ratios=(8, 4, 2, 1),
        )
        for name, width, third in (('lite', 64, 2), ('small', 64, 6), ('base', 96, 6), ('large', 96, 18))
    }

    def __init__(
        self,
        arch: str | dict = 'lite',
        in_channels: int = 3,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
                dict(type='Kaiming', layer='Conv2d', mode='fan_out', bias=0.0),
                dict(type='Constant', layer=['LayerNorm', 'BatchNorm2d'], val=1.0, bias=0.0),
            ]
        super().__init__(init_cfg)
        check_sizes('ResT', in_channels=in_channels)
        check_numbers('ResT', below=2**16, mlp_ratio=mlp_ratio)
        check_numbers('ResT', below=1, drop_rate=drop_rate, drop_path_rate=drop_path_rate)
        settings = self._arch_settings(arch)
        dims, depths = settings['embed_dims'], settings['depths']
        listed = isinstance(out_indices, Sequence) and len(set(out_indices)) == len(out_indices) > 0
        if not listed or any(i not in range(4) for i in out_indices):
            raise ValueError(f'ResT: out_indices are stages from 0 to 3, got {out_indices!r}: each once')
        if frozen_stages not in range(-1, 4):
            raise ValueError(f'ResT: frozen_stages must be from -1 to 3, got {frozen_stages!r}')
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.norm_eval, self.with_cp = norm_eval, with_cp
        self.out_channels = [dims[i] for i in out_indices]

        self.stem = _Stem(in_channels, dims[0])
        rates = iter(np.linspace(0, drop_path_rate, sum(depths)).tolist())
        for i, dim in enumerate(dims):
            if i:
                setattr(self, f'patch_embed_{i + 1}', _Downsample(dims[i - 1], dim))
            stage = ModuleList(
                _Block(
                    dim,
                    settings['num_heads'][i],
                    settings['sr_ratios'][i],
                    mlp_ratio,
                    qkv_bias,
                    drop_rate,
                    next(rates),
                )
                for _ in range(depths[i])
            )
            setattr(self, f'stage{i + 1}', stage)
        self.norm = nn.LayerNorm(dims[-1])
        self._freeze()

    @classmethod
    def _arch_settings(cls, arch: str | dict) -> dict:
        if isinstance(arch, str):
            if arch not in cls.arch_zoo:
                raise ValueError(f'ResT: unknown arch {arch!r}. Choose from: {", ".join(cls.arch_zoo)}.')
            return cls.arch_zoo[arch]
        keys = set(cls.arch_zoo['lite'])
        listed = isinstance(arch, Mapping) and all(isinstance(values, Sequence) for values in arch.values())
        if not listed or set(arch) != keys or any(len(values) != 4 for values in arch.values()):
            raise ValueError(
                f'ResT: arch as a dict has four numbers for each of {", ".join(sorted(keys))}, got {arch!r}'
            )
        check_integers('ResT: arch', 0, 4, depths=arch['depths'])
        check_integers('ResT: arch', 1, 4, **{key: arch[key] for key in sorted(keys - {'depths'})})
        if any(ratio > 1 and ratio % 2 for ratio in arch['sr_ratios']):
            raise ValueError(f'ResT: arch sr_ratios must be 1 or even, got {arch["sr_ratios"]}')
        check_integers('ResT: arch', 2, embed_dims=arch['embed_dims'][:1])  # the stem halves it
        for dim, heads in zip(arch['embed_dims'], arch['num_heads'], strict=True):
            if dim % heads:
                raise ValueError(f'ResT: arch: {heads} heads do not divide a width of {dim}')
        return dict(arch)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images of any size.

        Args:
            x (Tensor): ``(B, in_channels, H, W)``.

        Returns:
            tuple[Tensor, ...]: The maps of ``out_indices``, ``(B, embed_dims[i], H / s, W / s)`` with the
            strides 4, 8, 16, 32, rounded up.

        Raises:
            ValueError: If the images have other bands.
        """
        maps = []
        for i in range(4):
            x = self.run_stage(i, x)
            if i in self.out_indices:
                maps.append(x)
        return tuple(maps)

    def run_stage(self, i: int, x: Tensor) -> Tensor:
        """One stage, for a network that changes the map between two.

        Args:
            i (int): Stage from 0.
            x (Tensor): Images ``(B, in_channels, H, W)`` for stage 0, else the map of the stage before.

        Returns:
            Tensor: Its map, ``(B, embed_dims[i], H', W')``.
        """
        if i == 0:
            check_images('ResT', x, self.stem.conv1.in_channels)
        x = getattr(self, f'patch_embed_{i + 1}')(x) if i else self.stem(x)
        size = x.shape[-2:]
        x = x.flatten(2).mT
        for block in getattr(self, f'stage{i + 1}'):
            if self.with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, size, use_reentrant=False)
            else:
                x = block(x, size)
        if i == 3:
            x = self.norm(x)
        return x.mT.unflatten(2, size)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # scripts that train classifiers keep the weights under 'model'
        for name, x in state_dict.pop(f'{prefix}model', {}).items():
            state_dict[f'{prefix}{name}'] = x
        refuse_other_architecture(self, state_dict, prefix, ('stem.', 'stage', 'patch_embed_'))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def train(self, mode: bool = True) -> ResT:
        """Set the mode; what is frozen stays in evaluation."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        names = ['stem', 'stage1']
        for i in range(1, self.frozen_stages + 1):
            names += [f'patch_embed_{i + 1}', f'stage{i + 1}']
        return [getattr(self, name) for name in names]

    def _freeze(self) -> None:
        for module in self._frozen_modules():
            module.requires_grad_(False)


class _PixelAttention(nn.Module):
    """``x · sigmoid(dwconv3×3(x))``, which tells the tokens their position."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pa_conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.pa_conv(x).sigmoid()


def _normalised(norm: nn.Module, x: Tensor) -> Tensor:
    check_several('ResT', x, norm.training)
    return norm(x)


class _Stem(nn.Module):
    """Three convolutions to a quarter of the size."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        hidden = dim // 2
        self.conv1 = nn.Conv2d(in_channels, hidden, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, dim, 3, stride=2, padding=1, bias=False)
        self.pos = _PixelAttention(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(_normalised(self.norm1, self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return self.pos(self.conv3(x))


class _Downsample(nn.Module):
    """Between two stages: half the size, more channels."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, dim, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(dim)
        self.pos = _PixelAttention(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.pos(_normalised(self.norm, self.conv(x)))


MAP_SIZE = 2**18  # numbers of an attention map that are computed at once


class _Attention(nn.Module):
    """Efficient multi-head self-attention (EMSA): all tokens ask, fewer answer (ResT, Eq. 2 and 3)."""

    def __init__(self, dim: int, num_heads: int, sr_ratio: int, qkv_bias: bool, drop_rate: float) -> None:
        super().__init__()
        self.num_heads, self.sr_ratio, self.drop_rate = num_heads, sr_ratio, drop_rate
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        if sr_ratio > 1:
            self.sr = nn.Conv2d(dim, dim, sr_ratio + 1, stride=sr_ratio, padding=sr_ratio // 2, groups=dim)
            self.sr_norm = nn.LayerNorm(dim)
        if num_heads > 1:
            self.transform_conv = nn.Conv2d(num_heads, num_heads, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        q = self._heads(self.q(x))
        if self.sr_ratio > 1:
            x = self.sr_norm(self.sr(x.mT.unflatten(2, size)).flatten(2).mT)
        k, v = (self._heads(half) for half in self.kv(x).chunk(2, dim=-1))
        attend = F.scaled_dot_product_attention if self.num_heads == 1 else self._normalised
        x = attend(q, k, v)
        x = self.proj(x.transpose(1, 2).flatten(2))
        return F.dropout(x, self.drop_rate, self.training)

    def _heads(self, x: Tensor) -> Tensor:
        """``(B, L, dim)`` to ``(B, heads, L, dim / heads)``."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _normalised(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Heads mixed before softmax, and each head's map of queries × keys normalised after it.

        Every row of a softmax has the mean ``1 / keys``, and so has the map; its deviation is one number
        for a head, which waits until after the product with the values. So the map is needed a few rows at
        a time, and never as a whole.
        """
        queries, keys = q.shape[-2], k.shape[-2]
        k, mixed, square = k.mT, [], 0
        # an exported graph should not grow with the image
        part = queries if is_exporting() else max(1, MAP_SIZE // (self.num_heads * keys))
        for rows in (q * q.shape[-1] ** -0.5).split(part, dim=-2):
            centred = self._mixed(rows @ k).softmax(-1) - 1 / keys
            square = square + centred.square().sum((-2, -1), keepdim=True)
            mixed.append(centred @ v)
        variance = square / (queries * keys)
        return torch.cat(mixed, -2) * (variance + 1e-5).rsqrt().to(v.dtype)  # eps of nn.InstanceNorm2d

    def _mixed(self, logits: Tensor) -> Tensor:
        """``transform_conv`` as a product of matrices, which takes a fifth of the convolution's time."""
        if is_exporting():
            return self.transform_conv(logits)  # the product below asks for the size of the batch
        weight, bias = self.transform_conv.weight.flatten(1), self.transform_conv.bias[:, None]
        mixed = torch.baddbmm(bias, weight.expand(len(logits), -1, -1), logits.flatten(2))
        return mixed.view_as(logits)


class _Block(nn.Module):
    """``x + EMSA(LN(x))``, then ``x + MLP(LN(x))``."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        sr_ratio: int,
        mlp_ratio: float,
        qkv_bias: bool,
        drop_rate: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = _Attention(dim, num_heads, sr_ratio, qkv_bias, drop_rate)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(mlp_ratio * dim), drop_rate)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), size))
        return x + self.drop_path(self.mlp(self.norm2(x)))
