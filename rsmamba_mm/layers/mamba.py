"""The Mamba-1 mixer, along one scan order or several, with weights shared or of each order."""

from __future__ import annotations

import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops import compute_dtype, mamba_inner, merge_paths, multi_order_conv1d, pool_paths
from .options import check_numbers, check_sizes

SCANS = ('selective', 'identity', 'conv')


def initial_step_bias(like: Tensor, dt_min: float, dt_max: float, floor: float) -> Tensor:
    """Biases, shaped as ``like``, under which softplus gives steps log-uniform in [dt_min, dt_max] and not
    below ``floor`` (Mamba, arXiv:2312.00752, Sec. 3.6)."""
    step = torch.empty_like(like).uniform_(math.log(dt_min), math.log(dt_max)).exp_().clamp_(min=floor)
    return step + torch.log(-torch.expm1(-step))  # inverse of softplus


@torch.no_grad()
def init_ssm(A_log: Tensor, D: Tensor, dt_weight: Tensor, dt_bias: Tensor, dt_range: tuple) -> None:
    """Initialise state-space parameters in place (arXiv:2312.00752, Sec. 3.6): S4D-real A, D of ones,
    steps log-uniform in a range.

    Args:
        A_log (Tensor): ``(…, N)``.
        D (Tensor): Skip, of any shape.
        dt_weight (Tensor): Projection of the step from its rank R, ``(…, R)``.
        dt_bias (Tensor): Its bias, of any shape.
        dt_range (tuple[float, float, float]): Smallest and largest step, and the bound below.
    """
    states = torch.arange(1, A_log.shape[-1] + 1, dtype=A_log.dtype, device=A_log.device)
    A_log.copy_(states.log().expand_as(A_log))
    nn.init.ones_(D)
    bound = dt_weight.shape[-1] ** -0.5
    nn.init.uniform_(dt_weight, -bound, bound)
    dt_bias.copy_(initial_step_bias(dt_bias, *dt_range))


def check_steps(owner: str, dt_min: float, dt_max: float, dt_init_floor: float) -> None:
    """Refuse a range of initial steps of which none can be drawn.

    Raises:
        ValueError: Naming the owner and the options.
    """
    check_numbers(owner, dt_min=dt_min, dt_max=dt_max, dt_init_floor=dt_init_floor)
    if not 0 < dt_min <= dt_max:
        raise ValueError(
            f'{owner}: steps are drawn from dt_min to dt_max, which takes 0 < dt_min <= dt_max, got '
            f'dt_min={dt_min} and dt_max={dt_max}'
        )


class MultiPathMamba(BaseModule):
    """Mamba mixer along several scan orders, which share their weights (RSMamba, arXiv:2403.19654,
    Sec. III-C) or, between the projections, have each its own (Vim, arXiv:2401.09417, Sec. 3.3).

    With one order it is the plain Mamba mixer (arXiv:2312.00752). With several, the paths' outputs
    ``o_k`` are averaged or gated: ``g = softmax(W_g · concat_k(mean_L(o_k)))``, ``Σ_k g_k o_k``.
    ``in_proj`` and ``out_proj`` act on each token alone and so commute with any order: they run once,
    not once a path, with the same result up to rounding; the gate needs ``out_proj`` on the K pooled
    vectors only.

    Args:
        d_model (int): Channels C of the tokens.
        d_inner (int, optional): Inner channels E. Defaults to ``2 * d_model``.
        d_state (int): States N per inner channel. Defaults to 16.
        d_conv (int): Kernel of the causal convolution. Defaults to 4.
        dt_rank (int, optional): Rank R of the step size. Defaults to ``ceil(d_model / 16)``.
        dt_min (float): Smallest initial step. Defaults to 1e-3.
        dt_max (float): Largest initial step. Defaults to 1e-1.
        dt_init_floor (float): Lower bound of the initial step. Defaults to 1e-4.
        conv_bias (bool): Whether the convolution has a bias. Defaults to True.
        bias (bool): Whether ``in_proj`` and ``out_proj`` have one. Defaults to False.
        scan (str): ``'selective'``, the selective scan; or a control without one, all else being equal:
            ``'identity'``, the convolution alone, a gated CNN (MambaOut, arXiv:2405.07992, Sec. 3.3); or
            ``'conv'``, the same with as many more taps as the scan has parameters for each channel,
            ``2 * dt_rank + 3 * d_state + 2``, so that both have equally many. Defaults to ``'selective'``.
        weight_sets (int): Sets of convolution, step, B, C, A and D: 1, which all orders share, or as many
            as there are orders, one for each in turn, stacked along the first axis of the parameters.
            Defaults to 1.
        init_cfg (dict, optional): Initialisation of the linear layers; the step size, ``A_log`` and
            ``D`` are always initialised as in Mamba. Defaults to None.

    Raises:
        ValueError: If a size is not positive, the scan unknown, or no step can be drawn.
    """

    def __init__(
        self,
        d_model: int,
        d_inner: int | None = None,
        d_state: int = 16,
        d_conv: int = 4,
        dt_rank: int | None = None,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        dt_init_floor: float = 1e-4,
        conv_bias: bool = True,
        bias: bool = False,
        scan: str = 'selective',
        weight_sets: int = 1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if scan not in SCANS:
            raise ValueError(f'Mamba: unknown scan {scan!r}. Choose from: {", ".join(SCANS)}.')
        check_sizes('Mamba', d_model=d_model)
        d_inner = 2 * d_model if d_inner is None else d_inner
        dt_rank = math.ceil(d_model / 16) if dt_rank is None else dt_rank
        check_sizes(
            'Mamba',
            d_inner=d_inner,
            d_state=d_state,
            d_conv=d_conv,
            dt_rank=dt_rank,
            weight_sets=weight_sets,
        )
        check_steps('Mamba', dt_min, dt_max, dt_init_floor)
        self.d_model, self.d_inner, self.d_state, self.dt_rank = d_model, d_inner, d_state, dt_rank
        self.dt_range = (dt_min, dt_max, dt_init_floor)
        self.scan, self.weight_sets = scan, weight_sets
        if scan == 'conv':
            d_conv += 2 * dt_rank + 3 * d_state + 2

        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=bias)
        # these hold the parameters under the published names, initialised alike in every set; the operators
        # take them apart
        rows = weight_sets * d_inner
        self.conv1d = nn.Conv1d(rows, rows, d_conv, groups=rows, bias=conv_bias)
        if scan == 'selective':
            self.x_proj = nn.Linear(d_inner, weight_sets * (dt_rank + 2 * d_state), bias=False)
            self.dt_proj = nn.Linear(dt_rank, rows)
            self.A_log = nn.Parameter(torch.empty(rows, d_state))
            self.D = nn.Parameter(torch.empty(rows))
        self.out_proj = nn.Linear(d_inner, d_model, bias=bias)
        self._init_ssm()

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``, then the state-space parameters as Mamba has them.

        A model's own ``init_cfg`` for linear layers runs before this, and so cannot overwrite the
        step size.
        """
        super().init_weights()
        self._init_ssm()

    def _init_ssm(self) -> None:
        if self.scan == 'selective':
            init_ssm(self.A_log, self.D, self.dt_proj.weight, self.dt_proj.bias, self.dt_range)

    def scan_paths(self, u: Tensor, orders: Tensor) -> Tensor:
        """Convolution, input-dependent parameters and scan of each path; of the controls the first alone.

        Args:
            u (Tensor): ``(B, L, E)``, the first half of ``in_proj``.
            orders (Tensor): ``(K, L)`` int64.

        Returns:
            Tensor: ``(B, K, L, E)`` in token order.

        Raises:
            ValueError: If ``weight_sets`` is neither 1 nor K.
        """
        if self.weight_sets not in (1, len(orders)):
            raise ValueError(
                f'Mamba: weight_sets must be 1 or the number of scan orders, {len(orders)}, got '
                f'{self.weight_sets}'
            )
        bias = self.conv1d.bias
        conv = self._sets(self.conv1d.weight.squeeze(1)), None if bias is None else self._sets(bias)
        if self.scan != 'selective':
            return multi_order_conv1d(u, *conv, orders)
        return mamba_inner(
            u,
            *conv,
            self._sets(self.x_proj.weight),
            self._sets(self.dt_proj.weight),
            self._sets(self.dt_proj.bias),
            -torch.exp(self._sets(self.A_log).to(compute_dtype(self.A_log))),
            self._sets(self.D),
            orders,
        )

    def _sets(self, stacked: Tensor) -> Tensor:
        """The one set, or each in a row of its own."""
        return stacked if self.weight_sets == 1 else stacked.unflatten(0, (self.weight_sets, -1))

    def forward(self, x: Tensor, orders: Tensor, gate: nn.Module | None = None) -> Tensor:
        """Mix tokens.

        Args:
            x (Tensor): ``(B, L, C)``.
            orders (Tensor): ``(K, L)`` int64, the scan orders.
            gate (nn.Module, optional): Maps the K pooled outputs ``(B, K * C)`` to K weights
                ``(B, K)`` that sum to one. Defaults to None, the mean of the paths.

        Returns:
            Tensor: ``(B, L, C)``.
        """
        u, z = self.in_proj(x).chunk(2, dim=-1)
        y = self.scan_paths(u, orders)
        batch, paths = y.shape[:2]
        if gate is None or paths == 1:
            weights = y.new_full((batch, paths), 1 / paths)
        else:
            weights = gate(self.out_proj(pool_paths(y, z)).flatten(1))
        return self.out_proj(merge_paths(y, z, weights))
