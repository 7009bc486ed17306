"""The judge of a backend: inputs of a scan, relative errors, and a comparison of all its functions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import torch
from torch import Tensor

from . import reference, torch_chunked
from .contract import TENSORS, ScanInputs

# images, orders, tokens, channels, states of a comparison: whole sequences as RSMamba's mixer has them, and
# such as a GPU cuts into segments, with parameters of each order as SS2D has them
WHOLE = ((2, 2, 70, 72, 4), dict(rank=3))
CUT = ((1, 2, 260, 72, 3), dict(shared=False, one_u=True))
CASES = {torch.float32: WHOLE, torch.bfloat16: CUT, torch.float16: CUT}
PARAMETERS = ('A', 'D', 'delta_bias', 'delta_weight', 'taps', 'offset', 'weights')


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


def relative_errors(ours: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference of each tensor, relative to the largest entry of the exact one.

    Args:
        ours (dict[str, Tensor]): Of a backend.
        exact (dict[str, Tensor]): The same in float64.

    Returns:
        dict[str, float]: By name; infinite where there is a NaN.
    """
    errors = {}
    for name, expected in exact.items():
        scale = expected.abs().max().clamp(min=1e-6)
        error = ((ours[name].double().cpu() - expected).abs().max() / scale).item()
        errors[name] = error if error == error else float('inf')
    return errors


def measure(
    module: ModuleType, device: torch.device, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """Compare a backend's functions, forward and backward, with the ``torch`` backend in float64.

    It takes place in a thread of its own, where no mode of the caller's holds: autocast, inference,
    counters, a default device.

    Args:
        module (ModuleType): Of the backend.
        device (torch.device): Where both compute.
        dtype (torch.dtype): Of the activations, float32 or half. Defaults to float32.

    Returns:
        dict[str, float]: :func:`relative_errors` of results and gradients.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_measure, module, device, dtype).result()


@torch.no_grad()
def _measure(module: ModuleType, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    shape, options = CASES[dtype]
    batch, paths, length, channels, _ = shape
    generator = torch.Generator().manual_seed(0)
    inputs = scan_inputs(*shape, **options, generator=generator)
    inputs['x'] = torch.randn(batch, length, channels, generator=generator)
    inputs['z'] = torch.randn(batch, length, channels, generator=generator)
    inputs['paths'] = torch.randn(batch, paths, length, channels, generator=generator)
    inputs['weights'] = torch.rand(batch, paths, generator=generator)
    own = () if options.get('shared', True) else (paths,)
    inputs['taps'] = torch.randn(*own, channels, 4, generator=generator)
    inputs['offset'] = torch.randn(*own, channels, generator=generator)
    orders = torch.stack([torch.randperm(length, generator=generator) for _ in range(paths)]).to(device)
    # numbers that bfloat16 holds: whatever precision matrix products are allowed, it reads them as they are
    inputs = {name: x.bfloat16().to(device) for name, x in inputs.items()}
    ours = {name: x.to(torch.float32 if name in PARAMETERS else dtype) for name, x in inputs.items()}
    exact = {name: x.double() for name, x in inputs.items()}
    found, truth = _run(module, ours, orders), _run(torch_chunked, exact, orders)
    if hasattr(module, 'pool_forward'):
        found |= _run_gate(module, ours)
        truth |= _exact_gate(exact)
    return relative_errors(found, {name: x.cpu() for name, x in truth.items()})


def _run(module: ModuleType, tensors: dict[str, Tensor], orders: Tensor) -> dict[str, Tensor]:
    given = {name: tensors[name] for name in TENSORS if name in tensors}
    scan = ScanInputs(**given, orders=orders, delta_softplus=True)
    y, last, kept = module.scan_forward(scan, True)
    # without a gradient of the last state: mamba_ssm takes none
    grads = module.scan_backward(scan, _wave(y), None, kept)._asdict()
    convolution = tensors['x'], tensors['taps'], tensors['offset'], orders, True
    convolved = module.conv_forward(*convolution)
    conv_grads = module.conv_backward(_wave(convolved), *convolution)
    return dict(
        {'output': y, 'last state': last, 'convolution': convolved},
        **{f'gradient of {name}': grad for name, grad in grads.items() if name in scan.tensors},
        **_numbered('gradient of the convolution', conv_grads),
    )


def _run_gate(module: ModuleType, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    y, z, weights = (tensors[name] for name in ('paths', 'z', 'weights'))
    pooled, merged = module.pool_forward(y, z), module.merge_forward(y, z, weights)
    grads = *module.pool_backward(_wave(pooled), y, z), *module.merge_backward(_wave(merged), y, z, weights)
    return {'pooled paths': pooled, 'merged paths': merged} | _numbered('gradient of the gate', grads)


@torch.enable_grad()
def _exact_gate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    y, z, weights = (tensors[name].requires_grad_() for name in ('paths', 'z', 'weights'))
    pooled, merged = reference.pool(y, z), reference.merge(y, z, weights)
    grads = torch.autograd.grad(pooled, (y, z), _wave(pooled))
    grads += torch.autograd.grad(merged, (y, z, weights), _wave(merged))
    exact = {'pooled paths': pooled, 'merged paths': merged} | _numbered('gradient of the gate', grads)
    return {name: x.detach() for name, x in exact.items()}


def _wave(like: Tensor) -> Tensor:
    """What comes from outside in a backward: bounded, and such as bfloat16 holds."""
    return torch.arange(like.numel(), dtype=torch.float32).cos().bfloat16().view(like.shape).to(like)


def _numbered(name: str, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {f'{name}, {place}': x for place, x in enumerate(tensors, 1)}
