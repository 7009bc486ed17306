"""The losses of RoMA: of each token, and of blocks of them."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from mmengine.registry import MODELS
from mmpretrain.models.heads import MAEPretrainHead
from torch import Tensor

from ...layers.options import check_numbers, check_sizes

BLOCK_LOSSES = ('pooled', 'matched', 'released', 'none')


@MODELS.register_module()
class RoMAHead(MAEPretrainHead):
    """mmpretrain's head of pixels, for images of any sides and with a loss of larger blocks (RoMA,
    arXiv:2503.10392, Sec. 3.3).

    Blocks of ``block`` × ``block`` tokens that have none of the first cluster, which is not predicted, are
    compared with the image's:

    - ``'pooled'``: the means of their tokens, a coarser scale;
    - ``'matched'``: all their pixels. It is the loss of the tokens with other weights, and says nothing
      new;
    - ``'released'``: as the authors' code has it, which lays predictions in the order of clusters on
      the grid as if they were in the order of rows, and compares them, channel by channel, with targets
      token by token: pixels with unrelated ones. For parity alone;
    - ``'none'``.

    Args:
        loss (dict): Of the tokens. Defaults to ``dict(type='PixelReconstructionLoss', criterion='L2')``.
        norm_pix (bool): Whether a token's pixels are brought to zero mean and unit variance. Defaults to
            True.
        patch_size (int): Side of a token in pixels. Defaults to 16.
        in_channels (int): Bands of the image. Defaults to 3.
        block_loss (str): See above. Defaults to ``'pooled'``.
        block (int): Side of a block in tokens. Defaults to 6.
        block_weight (float): Weight of its loss. Defaults to 0.1.

    Raises:
        ValueError: If an option is not one of those listed; in a run, if blocks do not divide the grid.
    """

    def __init__(
        self,
        loss: dict | None = None,
        norm_pix: bool = True,
        patch_size: int = 16,
        in_channels: int = 3,
        block_loss: str = 'pooled',
        block: int = 6,
        block_weight: float = 0.1,
    ) -> None:
        loss = loss or dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')
        super().__init__(loss, norm_pix, patch_size, in_channels)
        if block_loss not in BLOCK_LOSSES:
            raise ValueError(
                f'RoMAHead: unknown block_loss {block_loss!r}. Choose from: {", ".join(BLOCK_LOSSES)}.'
            )
        check_sizes('RoMAHead', patch_size=patch_size, in_channels=in_channels, block=block)
        check_numbers('RoMAHead', block_weight=block_weight)
        self.block_loss, self.block, self.block_weight = block_loss, block, block_weight

    def patchify(self, imgs: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` to tokens ``(B, L, patch_size² · C)``."""
        side = self.patch_size
        return rearrange(imgs, 'b c (h p) (w q) -> b (h w) (p q c)', p=side, q=side)

    def loss(
        self, pred: Tensor, mask: Tensor, target: Tensor, grid: tuple[int, int], order: Tensor
    ) -> dict[str, Tensor]:
        """The losses.

        Args:
            pred (Tensor): ``(B, L, patch_size² · C)`` in the order of the grid.
            mask (Tensor): ``(L,)``, 1 for tokens that are predicted and 0 for the others.
            target (Tensor): Images ``(B, C, H, W)``.
            grid (tuple[int, int]): Height and width of the token grid.
            order (Tensor): ``(L,)`` int64, the tokens of the grid cluster by cluster.

        Returns:
            dict[str, Tensor]: ``loss_token`` and, if there is one, ``loss_block``, weighted.
        """
        pixels = self.construct_target(target)
        losses = {'loss_token': self.loss_module(pred, pixels, mask.expand(len(pred), -1))}
        if self.block_loss != 'none':
            losses['loss_block'] = self.block_weight * self._block_loss(pred, pixels, mask, grid, order)
        return losses

    def check_grid(self, grid: tuple[int, int], cluster: int) -> None:
        """Refuse a grid that has no blocks.

        Raises:
            ValueError: Saying what to change.
        """
        if self.block_loss == 'none':
            return
        if any(side % self.block for side in grid):
            raise ValueError(
                f'RoMAHead: blocks of {self.block} × {self.block} tokens do not divide the grid of '
                f'{grid[0]} × {grid[1]}: set head.block to a divisor of both, or head.block_loss to none'
            )
        first = -(-cluster // self.block)
        if first >= grid[0] // self.block and first >= grid[1] // self.block:
            raise ValueError(
                f'RoMAHead: each block of {self.block} × {self.block} tokens has some of the first '
                f'cluster, on a grid of {grid[0]} × {grid[1]}: set a '
                'smaller head.block, or head.block_loss to none'
            )

    def _block_loss(
        self, pred: Tensor, pixels: Tensor, mask: Tensor, grid: tuple[int, int], order: Tensor
    ) -> Tensor:
        if self.block_loss == 'released':
            pred = pred[:, order]
        ours, theirs = self._blocks(pred, grid), self._blocks(pixels, grid)
        whole = self._blocks(mask[None, :, None], grid)[0].flatten(1).all(1)
        ours, theirs = ours[:, whole], theirs[:, whole]
        if self.block_loss == 'pooled':
            return F.mse_loss(ours.mean(2), theirs.mean(2))
        if self.block_loss == 'released':
            ours = ours.mT.reshape(theirs.shape)
        return F.mse_loss(ours, theirs)

    def _blocks(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """``(B, L, P)`` to ``(B, blocks, block², P)``."""
        side = self.block
        return rearrange(
            x, 'b (h p w q) c -> b (h w) (p q) c', h=grid[0] // side, p=side, w=grid[1] // side, q=side
        )
