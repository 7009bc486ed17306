"""The 2-D selective scan (SS2D) and the VSS block around it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops import compute_dtype, multi_order_scan
from .mamba import check_steps, init_ssm
from .options import check_numbers, check_seed, check_sizes
from .scan_orders import block_orders, known_orders

DIRECTIONS = ('forward', 'column', 'reverse', 'column_reverse')


class SS2D(BaseModule):
    """Scans an image row by row, column by column, and both backwards (VMamba, arXiv:2401.10166, Sec. 4).

    Each direction has its own step, B, C, A and D. They depend on the single token, so all are computed at
    once on the tokens as they lie; the scan reads through its orders, and no copy of the input is made for
    a direction. The directions may be any scan orders.

    Args:
        dim (int): Channels C.
        d_state (int): States N per inner channel. Defaults to 16.
        ssm_ratio (float): Inner channels E over C. Defaults to 2.
        d_conv (int): Kernel of the depthwise convolution, odd. Defaults to 3.
        dt_rank (int, optional): Rank R of the step size. Defaults to ``ceil(dim / 16)``.
        dt_min (float): Smallest initial step. Defaults to 1e-3.
        dt_max (float): Largest initial step. Defaults to 1e-1.
        dt_init_floor (float): Lower bound of the initial step. Defaults to 1e-4.
        orders (Sequence[str]): Names of the K scan orders. Random ones are drawn anew at each call in
            training, and fixed in evaluation. Defaults to rows, columns and both backwards.
        shuffle_seed (int): Seed of random orders in evaluation. Defaults to 0.
        gated (bool): Whether the output of the scan passes a gate, for which ``in_proj`` has as many
            channels more. Defaults to True.
        conv_bias (bool): Whether the convolution has a bias. Defaults to True.
        init_cfg (dict, optional): Initialisation of linear layers and convolution. Defaults to None.

    Raises:
        ValueError: If a size is not positive, the kernel is even, or an order is unknown.
    """

    def __init__(
        self,
        dim: int,
        d_state: int = 16,
        ssm_ratio: float = 2.0,
        d_conv: int = 3,
        dt_rank: int | None = None,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        dt_init_floor: float = 1e-4,
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        gated: bool = True,
        conv_bias: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_sizes('SS2D', dim=dim)
        check_numbers('SS2D', below=2**16, ssm_ratio=ssm_ratio)
        inner = int(ssm_ratio * dim)
        dt_rank = math.ceil(dim / 16) if dt_rank is None else dt_rank
        if inner < 1:
            raise ValueError(f'SS2D: ssm_ratio={ssm_ratio} leaves no channel of {dim}')
        check_sizes('SS2D', d_state=d_state, d_conv=d_conv, dt_rank=dt_rank)
        if d_conv % 2 == 0:
            raise ValueError(f'SS2D: d_conv must be odd, got {d_conv}')
        check_steps('SS2D', dt_min, dt_max, dt_init_floor)
        check_seed('SS2D', shuffle_seed)
        self.d_state, self.dt_rank = d_state, dt_rank
        self.dt_range = (dt_min, dt_max, dt_init_floor)
        self.orders, self.shuffle_seed = known_orders('SS2D: orders', orders), shuffle_seed
        self.gated, paths = gated, len(self.orders)
        self.in_proj = nn.Linear(dim, (1 + gated) * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, d_conv, padding=d_conv // 2, groups=inner, bias=conv_bias)
        self.x_proj_weight = nn.Parameter(torch.empty(paths, dt_rank + 2 * d_state, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(paths, inner, dt_rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(paths, inner))
        self.A_logs = nn.Parameter(torch.empty(paths * inner, d_state))
        self.Ds = nn.Parameter(torch.empty(paths * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self._init_ssm()

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``, then the state-space parameters as Mamba has them."""
        super().init_weights()
        self._init_ssm()

    def _init_ssm(self) -> None:
        for weight in self.x_proj_weight:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # as nn.Linear
        init_ssm(self.A_logs, self.Ds, self.dt_projs_weight, self.dt_projs_bias, self.dt_range)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the tokens of an image.

        Args:
            x (Tensor): ``(B, H, W, C)``.

        Returns:
            Tensor: ``(B, H, W, C)``.
        """
        batch, height, width, _ = x.shape
        u, *z = self.in_proj(x).chunk(1 + self.gated, dim=-1)
        # a permuted view is a channels-last image: neither it nor its result is copied
        u = F.silu(self.conv2d(u.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).flatten(1, 2)
        orders = block_orders(self.orders, (height, width), x.device, self.training, seed=self.shuffle_seed)
        y = self.scan(u, orders[0])
        y = self.out_norm(y.sum(1).to(x.dtype)).view(batch, height, width, -1)
        return self.out_proj(y * self.gate(*z) if self.gated else y)

    def gate(self, z: Tensor) -> Tensor:
        """The gate of the scan's output from the second half of ``in_proj``, both ``(B, H, W, E)``: a
        hook for others."""
        return F.silu(z)

    def scan(self, u: Tensor, orders: Tensor) -> Tensor:
        """Scan tokens in all directions.

        Args:
            u (Tensor): ``(B, L, E)``.
            orders (Tensor): ``(K, L)`` int64.

        Returns:
            Tensor: ``(B, K, L, E)``, in token order.
        """
        paths, inner = self.dt_projs_bias.shape
        parts = [self.dt_rank, self.d_state, self.d_state]
        projected = F.linear(u, self.x_proj_weight.flatten(0, 1)).unflatten(-1, (paths, sum(parts)))
        dt, B, C = projected.transpose(1, 2).contiguous().split(parts, dim=-1)
        return multi_order_scan(
            u.unsqueeze(1),
            dt,
            -torch.exp(self.A_logs.to(compute_dtype(self.A_logs))).view(paths, inner, -1),
            B,
            C,
            self.Ds.view(paths, inner),
            orders=orders,
            delta_bias=self.dt_projs_bias,
            delta_weight=self.dt_projs_weight,
            delta_softplus=True,
        )


class Mlp(nn.Module):
    """Two linear layers with GELU between them.

    Args:
        dim (int): Channels of input and output.
        hidden (int): Channels between.
        dropout (float): Dropout after each layer. Defaults to 0.
    """

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """``(…, dim)`` to ``(…, dim)``."""
        x = F.dropout(F.gelu(self.fc1(x)), self.dropout, self.training)
        return F.dropout(self.fc2(x), self.dropout, self.training)


class VSSBlock(BaseModule):
    """Visual state-space block: ``x + SS2D(LN(x))``, then ``x + MLP(LN(x))``, with stochastic depth.

    UNetMamba's (arXiv:2408.11545) as released, with the MLP that the paper's figure leaves out.

    Args:
        dim (int): Channels.
        drop_path (float): Rate of stochastic depth. Defaults to 0.
        d_state (int): States per inner channel. Defaults to 16.
        ssm_ratio (float): Inner channels of SS2D over ``dim``. Defaults to 2.
        mlp_ratio (float): Hidden channels of the MLP over ``dim``; 0 for none. Defaults to 4.
        orders (Sequence[str]): Scan orders of SS2D. Defaults to rows, columns and both backwards.
        shuffle_seed (int): Seed of random orders in evaluation. Defaults to 0.
        gated (bool): Whether SS2D has a gate. Defaults to True.
        conv_bias (bool): Whether its convolution has a bias. Defaults to True.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(
        self,
        dim: int,
        drop_path: float = 0.0,
        d_state: int = 16,
        ssm_ratio: float = 2.0,
        mlp_ratio: float = 4.0,
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        gated: bool = True,
        conv_bias: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_sizes('VSSBlock', dim=dim)
        check_numbers('VSSBlock', below=2**16, mlp_ratio=mlp_ratio)
        self.norm = nn.LayerNorm(dim)
        self.op = SS2D(
            dim,
            d_state,
            ssm_ratio,
            orders=orders,
            shuffle_seed=shuffle_seed,
            gated=gated,
            conv_bias=conv_bias,
        )
        self.drop_path = DropPath(drop_path)
        if mlp_ratio > 0:
            self.norm2 = nn.LayerNorm(dim)
            self.mlp = Mlp(dim, int(mlp_ratio * dim))
        self.has_mlp = mlp_ratio > 0

    def forward(self, x: Tensor) -> Tensor:
        """``(B, H, W, dim)`` to ``(B, H, W, dim)``."""
        x = x + self.drop_path(self.op(self.norm(x)))
        return x + self.drop_path(self.mlp(self.norm2(x))) if self.has_mlp else x
