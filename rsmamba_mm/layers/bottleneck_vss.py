"""CM-UNet's visual state-space block: narrow, and with attention in its gate."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

from .gates import ChannelGate, SpatialGate
from .ss2d import DIRECTIONS, SS2D


class GatedSS2D(SS2D):
    """SS2D whose gate is weighed by channels and by pixels first (CM-UNet, arXiv:2405.10530, Sec. III-C).

    See :class:`SS2D` for the arguments.
    """

    def __init__(self, dim: int, *args, **kwargs) -> None:
        super().__init__(dim, *args, **kwargs)
        self.channel_gate, self.spatial_gate = ChannelGate(self.out_norm.normalized_shape[0]), SpatialGate()

    def gate(self, z: Tensor) -> Tensor:
        """``SiLU`` of ``(B, H, W, E)``, weighed."""
        z = self.spatial_gate(self.channel_gate(z.permute(0, 3, 1, 2)))
        return super().gate(z.permute(0, 2, 3, 1))


class BottleneckVSSBlock(BaseModule):
    """``x + up(t + SS2D(LN(t)))`` with ``t = down(x)``, half as wide, and with stochastic depth (CM-UNet,
    arXiv:2405.10530, Sec. III-C).

    Args:
        dim (int): Channels C, even.
        drop_path (float): Rate of stochastic depth of SS2D. Defaults to 0.
        d_state (int): States per inner channel. Defaults to 16.
        ssm_ratio (float): Inner channels of SS2D over ``C / 2``. Defaults to 0.5.
        orders (Sequence[str]): Scan orders of SS2D. Defaults to rows, columns and both backwards.
        shuffle_seed (int): Seed of random orders in evaluation. Defaults to 0.
        init_cfg (dict, optional): Initialisation. Defaults to None.

    Raises:
        ValueError: If the channels are odd, a size is not positive, or an order is unknown.
    """

    def __init__(
        self,
        dim: int,
        drop_path: float = 0.0,
        d_state: int = 16,
        ssm_ratio: float = 0.5,
        orders: Sequence[str] = DIRECTIONS,
        shuffle_seed: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if dim % 2:
            raise ValueError(f'BottleneckVSSBlock: dim must be even, got {dim}')
        half = dim // 2
        self.down, self.up = nn.Linear(dim, half), nn.Linear(half, dim)
        self.norm = nn.LayerNorm(half)
        self.op = GatedSS2D(half, d_state, ssm_ratio, orders=orders, shuffle_seed=shuffle_seed)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, H, W, dim)`` to ``(B, H, W, dim)``."""
        t = self.down(x)
        return x + self.up(t + self.drop_path(self.op(self.norm(t))))
