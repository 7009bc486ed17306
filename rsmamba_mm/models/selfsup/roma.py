"""RoMA: pre-training without labels, by predicting one cluster of patches after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from mmengine.registry import MODELS
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn

from ...layers import ConvStem
from ...layers.options import check_images, check_sizes
from ...ops.orders import cluster_order, invert_orders, kept
from ..backbones.pretrained import mark
from ..backbones.rsmamba import RSMamba

#: scan orders that see no token before its time, along which tokens are laid cluster by cluster
CAUSAL = ('forward', 'cluster')
ANGLES = ('window', 'diagonal', 'none')
kept_order = kept(cluster_order)


@MODELS.register_module()
class RoMA(BaseSelfSupervisor):
    """Rotation-aware multi-scale autoregressive pre-training (RoMA, Wang et al., NeurIPS 2025,
    arXiv:2503.10392).

    Nothing is masked: the encoder scans clusters of patches one after the other, in one direction, and the
    decoder predicts the pixels of each next cluster from those before it. Patches that a transform has
    turned (:class:`rsmamba_mm.AdaptiveRotation`) are marked by a learned vector.

    Patches of each cluster are embedded from its own pixels, with zeros beyond them: where they overlap,
    they would otherwise show what is to be predicted.

    Args:
        backbone (dict): ``ClusterMamba`` with ``mode='pretrain'``, or an ``RSMamba`` with
            ``path_type=['forward']``, ``cls_position='none'`` and ``out_type='raw'``.
        neck (dict): ``RoMADecoder``.
        head (dict): ``RoMAHead``.
        cluster (int): Side of a cluster in patches. Defaults to 4.
        angle (str): Which patches are marked as turned: ``'window'``, those that are; ``'none'``; or
            ``'diagonal'``, as the authors' code does whatever was turned, for parity alone. Defaults to
            ``'window'``.
        data_preprocessor (dict, optional): mmpretrain's ``SelfSupDataPreprocessor`` unless its type is
            another, such as ``BandsDataPreprocessor``. Defaults to None.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If an option is not one of those listed, or the parts do not fit each other; in a run,
            if clusters do not divide an image, or are fewer than two.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        cluster: int = 4,
        angle: str = 'window',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        check_sizes('RoMA', cluster=cluster)
        if angle not in ANGLES:
            raise ValueError(f'RoMA: unknown angle {angle!r}. Choose from: {", ".join(ANGLES)}.')
        check_encoder(self.backbone)
        self.cluster, self.angle = cluster, angle
        self.stride: tuple[int, int] = tuple(self.backbone.patch_embed.projection.stride)
        self._check_parts()
        self.angle_embed = None
        if angle != 'none':
            self.angle_embed = nn.Parameter(torch.empty(1, 1, self.backbone.embed_dims))
            nn.init.trunc_normal_(self.angle_embed, std=0.02)
        mark(self.backbone)

    def init_weights(self) -> None:
        """Initialise the parts, and the mark of turned patches by a normal truncated at std 0.02."""
        if self.angle_embed is not None:
            nn.init.trunc_normal_(self.angle_embed, std=0.02)
        super().init_weights()

    def loss(self, inputs: Tensor, data_samples: Sequence[Any] | None = None) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            inputs (Tensor): Images ``(B, C, H, W)``.
            data_samples (Sequence[DataSample], optional): Where patches are turned, each has a ``mask``
                ``(L,)`` or ``(h, w)`` of them. Defaults to None.

        Returns:
            dict[str, Tensor]: As of :class:`RoMAHead`.
        """
        grid, order = self.layout(inputs)
        self.head.check_grid(grid, self.cluster)
        turned = self._turned(data_samples, grid, inputs.device)
        return self.head.loss(*self.reconstruct(inputs, turned), inputs, grid, order)

    def reconstruct(self, images: Tensor, turned: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Predict each patch from the clusters before its own.

        Args:
            images (Tensor): ``(B, C, H, W)``.
            turned (Tensor, optional): ``(B, L)`` bool, patches to mark. Defaults to None.

        Returns:
            tuple[Tensor, Tensor]: As of :class:`RoMADecoder`.
        """
        grid, order = self.layout(images)
        return self.neck(self.encode(images, turned), order, grid)

    def encode(self, images: Tensor, turned: Tensor | None = None) -> tuple[Tensor, ...]:
        """The encoder's outputs of all clusters but the last, which nothing is predicted from.

        Args:
            images (Tensor): ``(B, C, H, W)``.
            turned (Tensor, optional): ``(B, L)`` bool, patches to mark. Defaults to None.

        Returns:
            tuple[Tensor]: Each ``(B, L - cluster², C)``, cluster by cluster.
        """
        grid, order = self.layout(images)
        backbone = self.backbone
        tokens = self._embedded(images, grid)[:, invert_orders(order[None])[0]]
        tokens = backbone.positions.add(tokens, grid, backbone.pos_embed)
        if turned is not None and self.angle_embed is not None:
            tokens = tokens + turned[..., None] * self.angle_embed
        tokens = backbone.drop_after_pos(tokens[:, order[: len(order) - self.cluster**2]])
        forward = torch.arange(tokens.shape[1], device=tokens.device)
        return backbone.run_blocks(tokens, grid, forward.expand(backbone.num_layers, 1, -1))

    def _embedded(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patches ``(B, L, C)``, cluster by cluster, each of its cluster's pixels alone."""
        rows, columns = (side // self.cluster for side in grid)
        clusters = rearrange(images, 'b c (h p) (w q) -> (b h w) c p q', h=rows, w=columns)
        tokens, found = self.backbone.patch_embed(clusters)
        if tuple(found) != (self.cluster,) * 2:
            raise ValueError(
                f'RoMA: the patches of a cluster of {tuple(clusters.shape[2:])} px are {tuple(found)}, not '
                f'{self.cluster} × {self.cluster}: leave padding and dilation out of patch_cfg'
            )
        return tokens.unflatten(0, (len(images), rows * columns)).flatten(1, 2)

    def layout(self, images: Tensor) -> tuple[tuple[int, int], Tensor]:
        """Height and width of the token grid of images ``(B, C, H, W)``, and its tokens cluster by cluster,
        ``(L,)``.

        Raises:
            ValueError: If clusters do not divide the images, or are fewer than two.
        """
        check_images('RoMA', images, self.backbone.patch_embed.projection.in_channels)
        sides = tuple(images.shape[2:])
        pixels = tuple(self.cluster * step for step in self.stride)
        if any(side % unit for side, unit in zip(sides, pixels, strict=True)):
            raise ValueError(
                f'RoMA: clusters of {self.cluster} × {self.cluster} patches are {pixels[0]} × {pixels[1]} '
                f'px and do not divide images of {sides[0]} × {sides[1]} px: let the pipeline crop them to '
                'multiples of that, or set another cluster or patch_size'
            )
        grid = sides[0] // self.stride[0], sides[1] // self.stride[1]
        count = grid[0] * grid[1] // self.cluster**2
        if count < 2:
            raise ValueError(
                f'RoMA: images of {sides[0]} × {sides[1]} px have {count} cluster of {self.cluster} × '
                f'{self.cluster} patches, too few tokens to predict one from another: set larger crops, or '
                'a smaller cluster or patch_size'
            )
        return grid, kept_order(*grid, self.cluster).to(images.device)

    def _turned(self, samples: Sequence[Any] | None, grid: tuple[int, int], device) -> Tensor | None:
        """Patches to mark, ``(B, L)`` bool."""
        masks = [sample.get('mask') for sample in samples or ()]
        if self.angle == 'none' or all(mask is None for mask in masks):
            return None
        length = grid[0] * grid[1]
        masks = [torch.zeros(length) if mask is None else mask.flatten() for mask in masks]
        for mask in masks:
            if len(mask) != length:
                raise ValueError(
                    f'RoMA: a mask of {len(mask)} turned patches, but the images have {grid[0]} × '
                    f"{grid[1]}: set AdaptiveRotation's patch_size to the stride of the patches, "
                    f'{self.stride[0]}, and let it be the last transform that changes the image'
                )
        turned = torch.stack(masks).to(device).bool()
        return released_marks(turned, grid) if self.angle == 'diagonal' else turned

    def _check_parts(self) -> None:
        """Refuse a decoder and a head that predict something else than the encoder's patches."""
        step, bands = self.stride[0], self.backbone.patch_embed.projection.in_channels
        outputs = [self.backbone.embed_dims] * len(self.backbone.out_indices)
        wanted = {
            'backbone.patch_cfg.stride': (self.stride, (step, step)),
            'neck.in_channels': ([norm.normalized_shape[0] for norm in self.neck.in_norms], outputs),
            'neck.patch_size': (self.neck.patch_size, step),
            'neck.out_channels': (self.neck.out_channels, bands),
            'head.patch_size': (self.head.patch_size, step),
            'head.in_channels': (self.head.in_channels, bands),
        }
        for option, (found, right) in wanted.items():
            if found != right:
                raise ValueError(f'RoMA: {option} is {found}, but must be {right}, as the backbone says')


def check_encoder(backbone: nn.Module) -> None:
    """Refuse a backbone that cannot be pre-trained so.

    Raises:
        ValueError: Saying why, and what to set.
    """
    name = type(backbone).__name__
    if not isinstance(backbone, RSMamba):
        raise ValueError(f'RoMA: the encoder is a ClusterMamba or an RSMamba, got {name}')
    if backbone.slots.count or len(backbone.orders) > 1 or backbone.orders[0] not in CAUSAL:
        raise ValueError(
            f'RoMA: {name} scans {", ".join(backbone.orders)} with {backbone.slots.count} class tokens, '
            'but pre-training predicts what comes next: a path that is not forward, or a token among the '
            "patches, shows it the future. Set ClusterMamba's mode='pretrain', or RSMamba's "
            "path_type=['forward'] and cls_position='none'; fine-tuning from the checkpoint may have all "
            'paths'
        )
    if isinstance(backbone.patch_embed, ConvStem) or len(backbone.local_mixes):
        raise ValueError(
            f'RoMA: {name} has a stem or a local_kernel, which look at the neighbours of a cluster, and '
            'those are what is to be predicted: leave both out'
        )
    if backbone.out_type != 'raw':
        raise ValueError(f"RoMA: {name} must have out_type='raw', got {backbone.out_type!r}")


def released_marks(turned: Tensor, grid: tuple[int, int]) -> Tensor:
    """What the authors' code marks in place of the window ``(B, L)``: the diagonal, from the upper left
    corner of the image, of a square as large."""
    sides = turned.unflatten(1, grid).any(2).sum(1)
    steps = torch.arange(min(grid), device=turned.device)
    marks = torch.zeros_like(turned).unflatten(1, grid)
    marks[:, steps, steps] = steps < sides[:, None]
    return marks.flatten(1)
