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

from rsmamba_mm.ops import available_backends, make_orders
from rsmamba_mm.ops.testing import exact_scan, relative_errors, run_scan, scan_inputs

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
                weight = 0.0 if backend == 'mamba_ssm' else 1 / (6 * channels * states)
                exact = exact_scan(inputs, **settings, last_weight=weight)
                ours = run_scan(backend, inputs, **settings, device=args.device, last_weight=weight)
                worst[backend, dtype] = max(worst[backend, dtype], *relative_errors(ours, exact).values())
    print(f'{cases} cases × {len(DTYPES)} dtypes on {args.device}, outputs and all gradients')
    for (backend, dtype), error in worst.items():
        print(f'  {backend:12s} {str(dtype).removeprefix("torch."):9s} worst relative error {error:.1e}')


def draw(length, channels, states, dtype, options, seed):
    """Inputs of a case, and its options."""
    generator = torch.Generator().manual_seed(seed)
    inputs = scan_inputs(
        2,
        3,
        length,
        channels,
        states,
        dtype,
        shared=options['shared'],
        skip=options['D'],
        bias=options['bias'],
        softplus=options['softplus'],
        rank=3 if options['low_rank'] else 0,
        generator=generator,
    )
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, length, generator=generator)
    return inputs, dict(delta_softplus=options['softplus'], orders=orders if options['orders'] else None)


if __name__ == '__main__':
    main()
