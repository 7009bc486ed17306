"""Vim: bidirectional Mamba blocks between class token and patches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import init

from ...layers import known_orders
from ...ops import compute_dtype
from .rsmamba import RSMamba


@MODELS.register_module()
class Vim(RSMamba):
    """Vision Mamba backbone (Zhu et al., ICML 2024, arXiv:2401.09417).

    Patches, with a class token in their middle, pass blocks of a norm and a mixer. Each mixer scans them
    forward and in reverse, each order with convolution, step, B, C, A and D of its own, and takes the mean
    (arXiv:2401.09417, Alg. 1). It is the frame of :class:`RSMamba` with these mixers, whose sum over the
    blocks stays in float32, whatever the precision that the mixers compute in.

    Args:
        arch (str | dict): ``'tiny'``, ``'small'`` or ``'base'``, or their initials, or a dict of
            ``embed_dims``, ``num_layers`` and ``feedforward_channels``, the inner channels of the mixers.
            Defaults to ``'tiny'``.
        img_size (int | tuple): Image size (h, w) of the learned positions; other sizes are accepted,
            with the positions resized. Defaults to 224.
        patch_size (int | tuple): Kernel of the patch embedding. Defaults to 16.
        stride (int | tuple, optional): Its stride. Defaults to None, the patch size.
        in_channels (int): Bands of the image. Defaults to 3.
        orders (Sequence[str]): Scan orders. Defaults to ``('forward', 'reverse')``.
        cls_position (str): Where the class token stands: ``'middle'`` (at L // 2), ``'head'``, ``'tail'``,
            ``'head_tail'`` (one at each) or ``'none'``. Defaults to ``'middle'``.
        out_type (str): ``'cls_token'`` (``(B, C)``), ``'avg_featmap'`` (mean of the patch tokens, then
            norm, ``(B, C)``), ``'featmap'`` (``(B, C, h, w)``) or ``'raw'`` (``(B, L, C)``, class token
            included). Defaults to ``'cls_token'``.
        out_indices (int | Sequence[int]): Blocks whose output is returned. Defaults to -1.
        drop_rate (float): Dropout after the positions. Defaults to 0.
        drop_path_rate (float): Stochastic depth of the last block, rising linearly from 0. Defaults to 0.
        frozen_stages (int): Number of first blocks to freeze, with the embeddings; below 1 nothing is.
            Defaults to -1.
        interpolate_mode (str): How positions are resized. Defaults to ``'bicubic'``.
        patch_cfg (dict): Other options of mmcv's ``PatchEmbed``. Defaults to an empty dict.
        layer_cfgs (dict | Sequence[dict]): Options of all mixers or of each, as of :class:`RSMamba`; with
            ``weight_sets=1`` the orders share theirs. Defaults to an empty dict.
        with_cp (bool): Whether to recompute the blocks in the backward to save memory. Defaults to False.
        init_cfg (dict | list[dict], optional): Initialisation, after the published one. Defaults to None.

    Raises:
        ValueError: If an option is not one of those listed, or ``layer_cfgs`` asks for what there is not.
        TypeError: If ``arch`` or ``layer_cfgs`` has keys that mean nothing here.

    Examples:
        >>> model = Vim('tiny')
        >>> model(torch.rand(1, 3, 224, 224))[0].shape
        torch.Size([1, 192])
    """

    arch_zoo = {
        'tiny': dict(embed_dims=192, num_layers=24, feedforward_channels=384),
        'small': dict(embed_dims=384, num_layers=24, feedforward_channels=768),
        'base': dict(embed_dims=768, num_layers=24, feedforward_channels=1536),
    }
    arch_zoo |= {name[0]: settings for name, settings in arch_zoo.items()}

    def __init__(
        self,
        arch: str | dict = 'tiny',
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        stride: int | tuple[int, int] | None = None,
        in_channels: int = 3,
        orders: Sequence[str] = ('forward', 'reverse'),
        cls_position: str = 'middle',
        out_type: str = 'cls_token',
        out_indices: int | Sequence[int] = -1,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        interpolate_mode: str = 'bicubic',
        patch_cfg: dict = dict(),  # noqa: B006 - never written to
        layer_cfgs: dict | Sequence[dict] = dict(),  # noqa: B006 - never written to
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        orders = known_orders('Vim: orders', orders)
        own = dict(weight_sets=len(orders))
        several = [layer_cfgs] if isinstance(layer_cfgs, Mapping) else layer_cfgs
        layers = [{**own, **cfg} for cfg in several]
        super().__init__(
            arch,
            path_type=dict(orders=orders, merge='mean'),
            cls_position=cls_position,
            img_size=img_size,
            patch_size=patch_size,
            in_channels=in_channels,
            out_indices=out_indices,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
            norm_cfg=dict(type=nn.RMSNorm, eps=1e-5),
            shared_pre_norm=False,
            out_type=out_type,
            frozen_stages=frozen_stages,
            interpolate_mode=interpolate_mode,
            patch_cfg=dict(stride=patch_size if stride is None else stride, bias=True) | patch_cfg,
            layer_cfgs=layers[0] if isinstance(layer_cfgs, Mapping) else layers,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initialise as published, and then by ``init_cfg``.

        Patches by LeCun's normal, class token and positions by a normal truncated at std 0.02, the mixers'
        last projections uniform and smaller by the root of the number of blocks; all orders alike.
        """
        projection = self.patch_embed.projection
        init.kaiming_normal_(projection.weight, nonlinearity='linear')
        if projection.bias is not None:
            init.zeros_(projection.bias)
        if self.cls_token is not None:
            init.trunc_normal_(self.cls_token, std=0.02)
        for layer in self.layers:
            init.kaiming_uniform_(layer.out_proj.weight, a=math.sqrt(5))
            layer.out_proj.weight /= math.sqrt(self.num_layers)
        super().init_weights()

    def _embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        x = super()._embed(x, grid)
        return x.to(compute_dtype(x))

    def _block(self, x: Tensor, orders: Tensor, i: int) -> Tensor:
        weights = self.layers[i].in_proj.weight
        return x + self.drop_paths[i](self.layers[i](self.pre_norm[i](x).to(weights), orders))

    def _format_output(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        return super()._format_output(x.to(self.patch_embed.projection.weight), grid)
