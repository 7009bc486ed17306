#!/usr/bin/env python3
"""How exact each scan backend is: a sweep against the float64 reference, worst errors by dtype.

An error is the largest difference of a tensor (output, last state or a gradient), relative to the largest
entry of the exact one.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict

import torch

from rsmamba_mm.ops import available_backends, make_orders, multi_order_scan, use_backend

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
LENGTHS = (1, 2, 7, 33, 197)
CHANNELS = (5, 16, 37)
STATES = (1, 4, 16, 33, 64)
# D, bias, softplus, orders, parameters per order, low-rank steps
OPTIONS = [
    dict(D=True, bias=True, softplus=True, orders=True, shared=True, low_rank=False),
    dict(D=True, bias=True, softplus=True, orders=True, shared=True, low_rank=True),
    dict(D=True, bias=True, softplus=True, orders=True, shared=False, low_rank=False),
    dict(D=False, bias=False, softplus=True, orders=False, shared=True, low_rank=False),
    dict(D=False, bias=True, softplus=False, orders=True, shared=True, low_rank=False),
]
# one long sequence, at sizes where the reference does not take minutes
LONG = [(1025, 37, 16, options) for options in OPTIONS]

QUICK = [(5, 5, 1, OPTIONS[0]), (2, 16, 2, OPTIONS[1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--backends', nargs='+', help='default: all that run there')
    parser.add_argument('--quick', action='store_true', help='a few small cases, for a slow device')
    args = parser.parse_args()
    backends = args.backends or [b for b in available_backends(args.device) if b != 'reference']
    worst: dict[tuple, float] = defaultdict(float)
    cases = 0
    sweep = [*itertools.product(LENGTHS, CHANNELS, STATES, OPTIONS), *LONG]
    for length, channels, states, options in QUICK if args.quick else sweep:
        cases += 1
        for dtype in DTYPES:
            inputs, settings = draw(length, channels, states, dtype, options, seed=cases)
            for backend in backends:
                if backend == 'mamba_ssm' and dtype == torch.float64:
                    continue  # its kernel has none
                # nor has it a gradient through the last state
                last = backend != 'mamba_ssm'
                exact = run('reference', inputs, settings, torch.float64, 'cpu', last)
                ours = run(backend, inputs, settings, None, args.device, last)
                worst[backend, dtype] = max(worst[backend, dtype], largest_error(ours, exact))
    print(f'{cases} cases × {len(DTYPES)} dtypes on {args.device}, outputs and all gradients')
    for (backend, dtype), error in worst.items():
        print(f'  {backend:12s} {str(dtype).removeprefix("torch."):9s} worst relative error {error:.1e}')


def draw(length, channels, states, dtype, options, seed):
    """Inputs of a case: activations in the dtype, parameters in at least float32."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.promote_types(dtype, torch.float32)

    def normal(*shape, to=dtype):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(to)

    own = () if options['shared'] else (3,)
    rank = 3 if options['low_rank'] else channels
    delta = normal(2, 3, length, rank)
    inputs = dict(
        u=normal(2, 3, length, channels),
        delta=delta if options['softplus'] else delta.abs() / 16,
        A=-normal(*own, channels, states, to=wide).exp(),
        B=normal(2, 3, length, states),
        C=normal(2, 3, length, states),
    )
    if options['D']:
        inputs['D'] = normal(*own, channels, to=wide)
    if options['bias']:
        bias = normal(*own, channels, to=wide)
        inputs['delta_bias'] = bias if options['softplus'] else bias.abs() / 16
    if options['low_rank']:
        inputs['delta_weight'] = normal(channels, rank, to=wide)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, length, generator=generator)
    settings = dict(delta_softplus=options['softplus'], orders=orders if options['orders'] else None)
    return inputs, settings


def run(backend, inputs, settings, dtype, device, last=True) -> list[torch.Tensor]:
    """Output, last state and gradients."""
    inputs = {
        name: x.to(device, dtype or x.dtype, copy=True).requires_grad_() for name, x in inputs.items()
    }
    orders = settings['orders']
    orders = None if orders is None else orders.to(device)
    with use_backend(backend):
        y, state = multi_order_scan(**inputs, **{**settings, 'orders': orders}, return_last_state=True)
    # bounded weights, so that no gradient leaves the range of half precision
    weights = torch.arange(y.numel(), dtype=torch.float64, device=device).cos().view(y.shape)
    total = (y.double() * weights).sum()
    (total + state.double().mean() if last else total).backward()
    return [x.detach().double().cpu() for x in (y, state, *(x.grad for x in inputs.values()))]


def largest_error(ours: list[torch.Tensor], exact: list[torch.Tensor]) -> float:
    pairs = zip(ours, exact, strict=True)
    errors = [((x - e).abs().max() / e.abs().max().clamp(min=1e-6)).item() for x, e in pairs]
    return max(error if error == error else float('inf') for error in errors)  # a NaN is no small error


if __name__ == '__main__':
    main()
