"""The encoder of RoMA: Mamba blocks with an MLP, causal in pre-training, along four orders afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import init

from ...layers import MultiPathMamba, SwiGLU, known_orders
from .rsmamba import RSMamba

# the options by default, by the mode
MODES = {
    'pretrain': dict(orders=('cluster',), pe_type='sine', final_norm=False, out_type='raw'),
    'downstream': dict(
        orders=('forward', 'reverse', 'column', 'column_reverse'),
        pe_type='learnable',
        final_norm=True,
        out_type='avg_featmap',
    ),
}


class ClusterBlock(BaseModule):
    """``x + Mixer(LN(x))``, then ``x + SwiGLU(LN(x))``.

    Args:
        mixer (MultiPathMamba): Of the tokens.
        norm1 (nn.Module): Before it.
        norm2 (nn.Module): Before the MLP.
    """

    def __init__(self, mixer: MultiPathMamba, norm1: nn.Module, norm2: nn.Module) -> None:
        super().__init__()
        self.mixer, self.norm1, self.norm2 = mixer, norm1, norm2
        self.mlp = SwiGLU(mixer.d_model)

    def forward(self, x: Tensor, orders: Tensor, drop_path: nn.Module) -> Tensor:
        """Tokens ``(B, L, C)`` along orders ``(K, L)``."""
        x = x + drop_path(self.mixer(self.norm1(x), orders))
        return x + drop_path(self.mlp(self.norm2(x)))


@MODELS.register_module()
class ClusterMamba(RSMamba):
    """Backbone of RoMA (Wang et al., NeurIPS 2025, arXiv:2503.10392), in two modes.

    In pre-training, inside of :class:`RoMA`, it scans clusters of patches one after the other, so that none
    sees a later one. Afterwards it scans the patches along four orders, each with convolution, step, B, C,
    A and D of its own; they start as those of the pre-training, by
    ``init_cfg=dict(type='Pretrained', checkpoint=…, prefix='backbone.')``. It is the frame of
    :class:`RSMamba` with other blocks.

    Args:
        arch (str | dict): ``'tiny'``, ``'small'``, ``'base'`` or ``'large'``, or a dict of ``embed_dims``
            and ``num_layers``. Defaults to ``'base'``.
        mode (str): ``'pretrain'`` or ``'downstream'``. Defaults to ``'downstream'``.
        img_size (int | tuple): Image size (h, w) of the learned positions; other sizes are accepted, with
            the positions resized. Defaults to 224.
        patch_size (int | tuple): Side of the patches in pixels. Defaults to 16.
        in_channels (int): Bands of the image. Defaults to 3.
        orders (Sequence[str], optional): Scan orders. Defaults to None: ``('cluster',)`` in pre-training,
            and ``('forward', 'reverse', 'column', 'column_reverse')``.
        pe_type (str, optional): ``'learnable'``, ``'sine'`` or ``'none'``. Defaults to None: sine in
            pre-training, learnable afterwards.
        cls_position (str): Where the class token stands: ``'none'``, ``'middle'``, as published,
            ``'head'``, ``'tail'`` or ``'head_tail'``. Pre-training has none. Defaults to ``'none'``.
        out_type (str, optional): ``'avg_featmap'`` (mean of the patch tokens, ``(B, C)``), ``'cls_token'``,
            as published, ``'featmap'`` (``(B, C, h, w)``) or ``'raw'`` (``(B, L, C)``). Defaults to None:
            raw in pre-training, avg_featmap afterwards.
        out_indices (int | Sequence[int], optional): Blocks whose output is returned. Defaults to None: the
            last one; in pre-training those at 1/2, 2/3, 5/6 and the end.
        drop_rate (float): Dropout after the positions. Defaults to 0.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly from 0. Defaults to 0.
        frozen_stages (int): Number of first blocks to freeze, with the embeddings; the number of all
            freezes the last norm too. Defaults to -1, none.
        interpolate_mode (str): How positions are resized. Defaults to ``'bicubic'``.
        layer_cfgs (dict | Sequence[dict]): Options of all mixers or of each, as of :class:`RSMamba`; with
            ``weight_sets=1`` the orders share theirs. Defaults to an empty dict.
        with_cp (bool): Whether to recompute the blocks in the backward to save memory. Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation, after the published one. Defaults to None.

    Raises:
        ValueError: If an option is not one of those listed, or does not fit the mode.
        TypeError: If ``arch`` or ``layer_cfgs`` has keys that mean nothing here.

    Examples:
        >>> model = ClusterMamba('tiny')
        >>> model(torch.rand(1, 3, 224, 224))[0].shape
        torch.Size([1, 192])
    """

    arch_zoo = {
        'tiny': dict(embed_dims=192, num_layers=12),
        'small': dict(embed_dims=384, num_layers=12),
        'base': dict(embed_dims=768, num_layers=12),
        'large': dict(embed_dims=1024, num_layers=24),
    }

    def __init__(
        self,
        arch: str | dict = 'base',
        mode: str = 'downstream',
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        in_channels: int = 3,
        orders: Sequence[str] | None = None,
        pe_type: str | None = None,
        cls_position: str = 'none',
        out_type: str | None = None,
        out_indices: int | Sequence[int] | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        interpolate_mode: str = 'bicubic',
        layer_cfgs: dict | Sequence[dict] = dict(),  # noqa: B006 - never written to
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f'ClusterMamba: unknown mode {mode!r}. Choose from: {", ".join(MODES)}.')
        defaults = MODES[mode]
        orders = known_orders('ClusterMamba: orders', defaults['orders'] if orders is None else orders)
        if mode == 'pretrain' and (len(orders) > 1 or cls_position != 'none'):
            raise ValueError(
                "ClusterMamba: mode='pretrain' scans one order without class tokens, since the next "
                f'cluster is predicted from those before it; got orders={list(orders)}, '
                f"cls_position={cls_position!r}. Leave them to mode='downstream'"
            )
        own = dict(weight_sets=len(orders))
        several = [layer_cfgs] if isinstance(layer_cfgs, Mapping) else layer_cfgs
        layers = [{**own, **cfg} for cfg in several]
        self.mode = mode
        super().__init__(
            arch,
            pe_type=defaults['pe_type'] if pe_type is None else pe_type,
            path_type=dict(orders=orders, merge='mean'),
            cls_position=cls_position,
            img_size=img_size,
            patch_size=patch_size,
            in_channels=in_channels,
            out_indices=self._default_outputs(arch) if out_indices is None else out_indices,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
            norm_cfg=dict(type='LN', eps=1e-5),
            shared_pre_norm=False,
            final_norm=defaults['final_norm'],
            out_type=defaults['out_type'] if out_type is None else out_type,
            frozen_stages=frozen_stages,
            interpolate_mode=interpolate_mode,
            patch_cfg=dict(stride=patch_size, bias=True),
            layer_cfgs=layers[0] if isinstance(layer_cfgs, Mapping) else layers,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        self.layers = ModuleList(
            ClusterBlock(mixer, norm, nn.LayerNorm(self.embed_dims))
            for mixer, norm in zip(self.layers, self.pre_norm, strict=True)
        )
        self.pre_norm = ModuleList()  # in the blocks
        if self.out_type == 'avg_featmap':
            self.ln2 = nn.Identity()  # the tokens are normed before
        self._freeze()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initialise as published, and then by ``init_cfg``.

        Patches by LeCun's normal, tokens by a normal truncated at std 0.02, the mixers' last projections
        uniform and smaller by the root of the number of blocks; biases of linear layers are 0.
        """
        projection = self.patch_embed.projection
        init.kaiming_normal_(projection.weight, nonlinearity='linear')
        init.zeros_(projection.bias)
        if self.cls_token is not None:
            init.trunc_normal_(self.cls_token, std=0.02)
        for layer in self.layers:
            for linear in layer.mlp.children():
                init.zeros_(linear.bias)
            init.kaiming_uniform_(layer.mixer.out_proj.weight, a=math.sqrt(5))
            layer.mixer.out_proj.weight /= math.sqrt(self.num_layers)
        super().init_weights()

    def _block(self, x: Tensor, orders: Tensor, i: int) -> Tensor:
        return self.layers[i](x, orders, self.drop_paths[i])

    def _arch_settings(self, arch: str | dict) -> dict:
        if isinstance(arch, Mapping):
            if set(arch) != {'embed_dims', 'num_layers'}:
                raise TypeError(
                    f'ClusterMamba: a custom arch is a dict of exactly embed_dims, num_layers, got {arch!r}'
                )
            arch = {**arch, 'feedforward_channels': arch['embed_dims']}
            return super()._arch_settings(arch)
        settings = super()._arch_settings(arch)
        return {**settings, 'feedforward_channels': settings['embed_dims']}

    def _default_outputs(self, arch: str | dict) -> int | list[int]:
        if self.mode == 'downstream':
            return -1
        depth = self._arch_settings(arch)['num_layers']
        return sorted({max(1, round(depth * part)) - 1 for part in (1 / 2, 2 / 3, 5 / 6, 1)})
