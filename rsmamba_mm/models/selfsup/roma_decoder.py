"""The decoder of RoMA: each cluster from those before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...layers import Mlp, sincos_position_embedding
from ...layers.options import check_integers, check_sizes
from ...ops.orders import invert_orders


class CrossAttention(nn.Module):
    """Attention of queries to other tokens.

    Args:
        dim (int): Channels.
        num_heads (int): Heads, which divide them.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, queries: Tensor, tokens: Tensor, seen: Tensor) -> Tensor:
        """Queries ``(B, Q, C)``, tokens ``(B, L, C)``, and which of these each sees, ``(Q, L)`` bool."""
        q, k, v = (
            x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.q(queries), *self.kv(tokens).chunk(2, 2))
        )
        return self.proj(F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """``q + CrossAttention(LN(q), LN(z))``, then ``q + MLP(LN(q))``.

    Args:
        dim (int): Channels.
        num_heads (int): Heads of the attention.
        mlp_ratio (int): Channels inside of the MLP over those outside.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm_q, self.norm_kv, self.norm_mlp = (nn.LayerNorm(dim) for _ in range(3))
        self.attn = CrossAttention(dim, num_heads)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(self, queries: Tensor, tokens: Tensor, seen: Tensor) -> Tensor:
        """As :class:`CrossAttention`."""
        queries = queries + self.attn(self.norm_q(queries), self.norm_kv(tokens), seen)
        return queries + self.mlp(self.norm_mlp(queries))


@MODELS.register_module()
class RoMADecoder(BaseModule):
    """Predict the pixels of each cluster from the tokens of those before it (RoMA, arXiv:2503.10392,
    Sec. 3.2; ARM, arXiv:2406.07537, Sec. 3).

    Queries, one learned vector with sine-cosine positions, attend to the encoder's tokens alone and not to
    one another: those of a cluster see all tokens of the clusters before it.

    Args:
        in_channels (Sequence[int]): Channels of the encoder's outputs, which are normed each and
            concatenated.
        embed_dims (int): Channels. Defaults to 512.
        num_layers (int): Layers. Defaults to 4.
        num_heads (int): Heads of the attention. Defaults to 8.
        mlp_ratio (int): Channels inside of the MLPs over those outside. Defaults to 4.
        patch_size (int): Side in pixels of what a token predicts, the stride of the encoder's patches.
            Defaults to 16.
        out_channels (int): Bands of the image. Defaults to 3.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None: linear layers by Xavier's
            uniform, with biases of 0.

    Raises:
        ValueError: If a size is no positive integer, or the channels do not fit.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        embed_dims: int = 512,
        num_layers: int = 4,
        num_heads: int = 8,
        mlp_ratio: int = 4,
        patch_size: int = 16,
        out_channels: int = 3,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Xavier', layer='Linear', distribution='uniform'))
        check_integers('RoMADecoder', in_channels=in_channels)
        check_sizes(
            'RoMADecoder',
            embed_dims=embed_dims,
            num_layers=num_layers,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            patch_size=patch_size,
            out_channels=out_channels,
        )
        if embed_dims % 4 or embed_dims % num_heads:
            raise ValueError(
                f'RoMADecoder: embed_dims is a multiple of 4, for the positions, and of num_heads, got '
                f'embed_dims={embed_dims} and num_heads={num_heads}'
            )
        self.embed_dims, self.num_layers = embed_dims, num_layers
        self.patch_size, self.out_channels = patch_size, out_channels
        self.in_norms = nn.ModuleList(nn.LayerNorm(channels) for channels in in_channels)
        self.in_proj = nn.Linear(sum(in_channels), embed_dims * num_layers)
        self.query = nn.Parameter(torch.empty(1, 1, embed_dims))
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dims, num_heads, mlp_ratio) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.pred = nn.Linear(embed_dims, patch_size**2 * out_channels)
        nn.init.trunc_normal_(self.query, std=0.02)

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``, and the query by a normal truncated at std 0.02."""
        nn.init.trunc_normal_(self.query, std=0.02)
        super().init_weights()

    def tokens(self, features: Sequence[Tensor]) -> Tensor:
        """What the layers attend to: ``(B, L, C, num_layers)`` of the encoder's outputs ``(B, L, C_i)``."""
        features = [norm(x) for norm, x in zip(self.in_norms, features, strict=True)]
        return self.in_proj(torch.cat(features, 2)).unflatten(2, (self.embed_dims, self.num_layers))

    def forward(
        self, features: Sequence[Tensor], order: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Predict all clusters but the first.

        Args:
            features (Sequence[Tensor]): The encoder's outputs ``(B, L', C_i)`` of all clusters but the last
                one, cluster by cluster.
            order (Tensor): ``(L,)`` int64, the tokens of the grid cluster by cluster.
            grid (tuple[int, int]): Height and width of the token grid.

        Returns:
            tuple[Tensor, Tensor]: Predictions ``(B, L, patch_size² · out_channels)`` in the order of the
            grid, zeros for the first cluster, and ``(L,)`` float, 0 there and 1 elsewhere.
        """
        tokens = self.tokens(features)
        count, known = len(order), tokens.shape[1]
        cluster = torch.arange(known, device=order.device) // (count - known)
        seen = cluster[:, None] >= cluster
        positions = sincos_position_embedding(*grid, self.embed_dims).to(self.query)
        queries = (self.query + positions[:, order[count - known :]]).expand(len(tokens), -1, -1)
        for layer, part in zip(self.layers, tokens.unbind(3), strict=True):
            queries = layer(queries, part, seen)
        predicted = F.pad(self.pred(self.norm(queries)), (0, 0, count - known, 0))
        counted = (torch.arange(count, device=order.device) >= count - known).float()
        places = invert_orders(order[None])[0]
        return predicted[:, places], counted[places]
