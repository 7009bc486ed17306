"""The judge of the scan's backends: inputs by shape, the truth in float64, the worst relative error."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .backends import use_backend
from .scan import multi_order_scan


def scan_inputs(
    batch: int,
    paths: int,
    length: int,
    channels: int,
    states: int,
    dtype: torch.dtype = torch.float32,
    *,
    shared: bool = True,
    one_u: bool = False,
    skip: bool = True,
    bias: bool = True,
    softplus: bool = True,
    rank: int = 0,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Tensors of a scan as a mixer makes them: activations in the dtype, parameters in at least float32.

    Args:
        batch (int): Images B.
        paths (int): Orders K.
        length (int): Tokens L.
        channels (int): Channels E.
        states (int): States N of a channel.
        dtype (torch.dtype): Of the activations. Defaults to float32.
        shared (bool): Whether the orders share the parameters. Defaults to True.
        one_u (bool): Whether they read one input. Defaults to False.
        skip (bool): Whether there is a D. Defaults to True.
        bias (bool): Whether there is a delta_bias. Defaults to True.
        softplus (bool): Whether softplus is to follow; without it the steps are small and positive, for a
            negative one grows without bound. Defaults to True.
        rank (int): Rank of the step sizes; 0 gives them in full. Defaults to 0.
        generator (torch.Generator, optional): Defaults to a new one of seed 0.

    Returns:
        dict[str, Tensor]: Arguments of :func:`rsmamba_mm.ops.multi_order_scan`.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    own, wide = () if shared else (paths,), torch.promote_types(dtype, torch.float32)

    def draw(*shape: int, to: torch.dtype = dtype) -> Tensor:
        # in float64 first, so that one seed gives the same numbers in every dtype
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(to)

    def step(x: Tensor) -> Tensor:
        return x if softplus else x.abs() / 16

    delta = step(draw(batch, paths, length, rank or channels))
    inputs = dict(
        u=draw(batch, 1 if one_u else paths, length, channels),
        delta=delta,
        A=-draw(*own, channels, states, to=wide).exp(),
        B=draw(batch, paths, length, states),
        C=draw(batch, paths, length, states),
    )
    if skip:
        inputs['D'] = draw(*own, channels, to=wide)
    if bias:
        inputs['delta_bias'] = step(draw(*own, channels, to=wide))
    if rank:
        inputs['delta_weight'] = draw(*own, channels, rank, to=wide)
    return inputs


def run_scan(
    backend: str,
    inputs: Mapping[str, Tensor | None],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    last_weight: float = 1.0,
    orders: Tensor | None = None,
    delta_softplus: bool = False,
) -> dict[str, Tensor]:
    """Output, last state and the gradients of a scalar of both.

    Args:
        backend (str): Name of the backend.
        inputs (Mapping[str, Tensor | None]): As :func:`scan_inputs` gives them.
        device (str | torch.device, optional): Defaults to that of the inputs.
        dtype (torch.dtype, optional): Defaults to those of the inputs.
        last_weight (float): Weight of the last state's entries in the scalar; 0 leaves them out.
            Defaults to 1.
        orders (Tensor, optional): ``(K, L)``. Defaults to None.
        delta_softplus (bool): Whether softplus follows. Defaults to False.

    Returns:
        dict[str, Tensor]: ``y``, ``last``, and under ``d`` and its name the gradient of each input.
    """
    leaves = {
        name: x.detach().to(device, dtype or x.dtype).requires_grad_()
        for name, x in inputs.items()
        if x is not None
    }
    orders = None if orders is None else orders.to(device)
    with use_backend(backend):
        y, last = multi_order_scan(
            **leaves, orders=orders, delta_softplus=delta_softplus, return_last_state=True
        )
    # bounded weights, so that no gradient leaves the range of half precision
    weights = torch.arange(y.numel(), dtype=torch.float64, device=y.device).cos().view(y.shape)
    total = (y.double() * weights).sum()
    total = total + last_weight * last.double().sum() if last_weight else total
    gradients = torch.autograd.grad(total, tuple(leaves.values()))
    named = {f'd{name}': gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return dict(y=y.detach(), last=last.detach(), **named)


def exact_scan(inputs: Mapping[str, Tensor | None], **options) -> dict[str, Tensor]:
    """As :func:`run_scan`, by the reference in float64 on the CPU."""
    return run_scan('reference', inputs, device='cpu', dtype=torch.float64, **options)


def relative_errors(ours: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference of each tensor, relative to the largest entry of the exact one.

    Args:
        ours (dict[str, Tensor]): Of :func:`run_scan`.
        exact (dict[str, Tensor]): Of :func:`exact_scan`.

    Returns:
        dict[str, float]: By name; infinite where there is a NaN.
    """
    errors = {}
    for name, expected in exact.items():
        scale = expected.abs().max().clamp(min=1e-6)
        error = ((ours[name].double().cpu() - expected).abs().max() / scale).item()
        errors[name] = error if error == error else float('inf')
    return errors
