#!/usr/bin/env python3
"""How exact each scan backend is: a sweep against the float64 reference, worst errors by dtype.

An error is the largest difference of a tensor (output, last state or a gradient), relative to the largest
entry of the exact one. The program ends with an error if one is over its limit. float64 reads numbers that
float32 holds, and float16 such as bfloat16 holds: one exact result serves all backends in two precisions.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from functools import cache, partial

import torch
from _record import Record, add_options

from rsmamba_mm.command_line import Parser
from rsmamba_mm.ops import BACKENDS, available_backends, make_orders
from rsmamba_mm.ops.backends.verification import TOLERANCE
from rsmamba_mm.ops.testing import exact_scan, relative_errors, run_scan, scan_inputs

LIMITS = {torch.float64: 1e-10, **TOLERANCE}
# precisions, and that of the numbers that they read
DTYPES = {
    torch.float64: torch.float32,
    torch.float32: torch.float32,
    torch.bfloat16: torch.bfloat16,
    torch.float16: torch.bfloat16,
}
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
# their kernel has no float64, nor a gradient through the last state
MAMBA = ('mamba_ssm', 'mamba_hub')
ALL, HALF = tuple(DTYPES), (torch.float32, torch.bfloat16)

# sweeps: length, channels, states, options, and the precisions. Triton compiles its kernels anew for every
# set of options and precision, and where sizes are multiples of 16 or not: "full" compiles for minutes,
# "telling" has each of these once. A GPU cuts 197 steps and more into segments, 33 it takes as they are.
SWEEPS = {
    'tiny': [(5, 5, 1, OPTIONS[0], (torch.float32,)), (2, 16, 2, OPTIONS[1], (torch.bfloat16,))],
    'small': [(197, 16, 16, OPTIONS[1], HALF), (33, 37, 33, OPTIONS[2], HALF)],
    'telling': [
        *((197, 16, 16, options, HALF) for options in OPTIONS),
        *((33, 37, 33, options, HALF) for options in OPTIONS),
        (197, 16, 16, OPTIONS[1], (torch.float16,)),
        (33, 37, 33, OPTIONS[2], (torch.float64, torch.float16)),
        (1, 16, 64, OPTIONS[2], HALF),
        (1025, 16, 64, OPTIONS[1], (*HALF, torch.float16)),
        (1025, 37, 1, OPTIONS[2], (torch.float32,)),
    ],
    'full': [(*case, ALL) for case in (*itertools.product(LENGTHS, CHANNELS, STATES, OPTIONS), *LONG)],
}


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--backends', nargs='+', help='default: all that run there')
    parser.add_argument('--sweep', choices=SWEEPS, default='full', help='which cases (default: full)')
    add_options(parser)
    args = parser.parse_args()
    backends = args.backends or [b for b in available_backends(args.device) if b != 'reference']
    # how far off a backend is, is measured here, whatever its comparison on first use says
    for backend in backends:
        BACKENDS[backend] = dataclasses.replace(BACKENDS[backend], checked=False)
    record = Record(args.record, args.resume)
    for number, (*sizes, options, dtypes) in enumerate(SWEEPS[args.sweep], 1):
        drawn = cache(partial(draw, *sizes, options=options, seed=number))
        exact = cache(partial(truth, drawn))
        for dtype, backend in itertools.product(dtypes, backends):
            case, part = name(*sizes, options), f'{backend} {words(dtype)}'
            if record.ended(case, part) or (backend in MAMBA and dtype == torch.float64):
                continue
            found = record.attempt(case, part, partial(compare, backend, dtype, drawn, exact, args.device))
            if found is not None and not found['error_of_worst'] <= LIMITS[dtype]:
                error, limit = found['error_of_worst'], LIMITS[dtype]
                record.fail(case, part, f'{found["worst"]} is off by {error:.1e}, allowed {limit:.0e}')
    tell(record, len(SWEEPS[args.sweep]), args.device)


def compare(backend, dtype, drawn, exact, device) -> dict:
    """Errors of a backend in a precision, and how long it took, compilation included."""
    inputs, settings = drawn(DTYPES[dtype])
    weight = 0.0 if backend in MAMBA else 1 / (6 * inputs['A'].shape[-2] * inputs['A'].shape[-1])
    expected = exact(DTYPES[dtype], weight)
    inputs = {key: x.to(dtype) if x.dtype == DTYPES[dtype] else x for key, x in inputs.items()}
    start = time.perf_counter()
    ours = run_scan(backend, inputs, **settings, device=device, last_weight=weight)
    ours = {key: x.cpu() for key, x in ours.items()}
    seconds = time.perf_counter() - start
    errors = relative_errors(ours, expected)
    worst = max(errors, key=lambda key: errors[key])
    return dict(worst=worst, error_of_worst=errors[worst], seconds=round(seconds, 3))


def truth(drawn, dtype: torch.dtype, weight: float) -> dict:
    """What is exact of inputs in a precision."""
    inputs, settings = drawn(dtype)
    return exact_scan(inputs, **settings, last_weight=weight)


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


def tell(record: Record, cases: int, device: str) -> None:
    """Print the worst errors, and end with an error if one is too large.

    Raises:
        SystemExit: With status 1, if a part failed or one is not exact enough.
    """
    worst: dict[str, float] = {}
    for entry in record.entries:
        if 'error_of_worst' in entry:
            worst[entry['part']] = max(worst.get(entry['part'], 0.0), entry['error_of_worst'])
    seconds = sum(entry.get('seconds', 0) for entry in record.entries)
    print(f'{cases} cases on {device}, outputs and all gradients, {seconds:.0f} s in the backends')
    for part, error in worst.items():
        backend, dtype = part.split()
        print(f'  {backend:12s} {dtype:9s} worst relative error {error:.1e}')
    if record.failed:
        print(f'RED: exactness: {len(record.failed)} of the parts are wrong or failed, named above')
        raise SystemExit(1)


def name(length: int, channels: int, states: int, options: dict[str, bool]) -> str:
    sizes = f'{length} steps, {channels} channels, {states} states'
    return ', '.join([sizes, *(key for key, value in options.items() if value)])


def words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix('torch.')


if __name__ == '__main__':
    main()
