#!/usr/bin/env python3
"""RSMamba against the structure of the released code, inference and training, in one run.

Sides: ``released`` (needs ``requirements/benchmark.txt``), and this package on each scan backend named.
For inference also the bound: the multiply-adds of the shared form at the rate that ``F.linear`` reaches
here on (784, 192) → 768, plus its exponentials at the rate of ``torch.exp(out=)`` on 1e5 elements, both
measured in the same turns. Memory is the growth of the resident size in the first step.

Each side runs in a process of its own, as its user would run it. With ``--one-process`` all run in this one
(no memory figures then): the native backend's setting of the allocator serves them all.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from _measure import interleave, interleave_here, make_parser, serve, table, write_json

from rsmamba_mm.models import RSMamba
from rsmamba_mm.ops import use_backend


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('mode', choices=['inference', 'training'])
    parser.add_argument('--arch', default='base', choices=['base', 'large', 'huge'])
    parser.add_argument('--img-size', type=int, default=224)
    parser.add_argument('--batch', type=int, help='default: 1 for inference, 2 for training')
    parser.add_argument('--sides', nargs='+', default=['released', 'torch', 'cpu'])
    parser.add_argument('--one-process', action='store_true', help='take turns in one process')
    args = parser.parse_args()
    args.batch = args.batch or (1 if args.mode == 'inference' else 2)
    torch.manual_seed(0)
    if args.serve:
        serve(make_step(args.serve, args))
        return
    where = 'in one process' if args.one_process else 'each side in its own process'
    print(f'{args.mode}, RSMamba-{args.arch}, {args.img_size} px, batch {args.batch}, {where}', flush=True)
    with_bound = args.mode == 'inference'
    sides, memory = [*args.sides, *(RATES if with_bound else [])], {}
    if args.one_process:
        seconds = interleave_here(lambda side: make_step(side, args), sides, args.repeats)
    else:
        seconds, memory, _ = interleave(sides, args.repeats)
    rates = {name: seconds.pop(name) for name in RATES if name in seconds}
    table(seconds, args.sides[0], memory)
    record = dict(
        seconds=seconds,
        memory_mb={side: memory[side] for side in seconds if side in memory},
    )
    if with_bound:
        record['bound'] = bound(rates, args)
        over = statistics.median(seconds[args.sides[-1]]) / record['bound']['seconds']
        print(f'  {args.sides[-1]} over the bound: {over:.2f}')
    write_json(args, **record)


def make_step(side: str, args: argparse.Namespace):
    """One inference or training step of a side, or many of a measure of the machine's speed."""
    if side in RATES:
        return RATES[side]()
    settings = RSMamba.arch_zoo[args.arch]
    if side == 'released':
        from _released import Released

        model = Released(settings['embed_dims'], settings['num_layers'], args.img_size)
    else:
        model = RSMamba(args.arch, img_size=args.img_size)
    x = torch.randn(args.batch, 3, args.img_size, args.img_size)
    training = args.mode == 'training'
    model.train(training)

    def step() -> None:
        with use_backend('auto' if side == 'released' else side), torch.set_grad_enabled(training):
            y = model(x)
            if training:
                model.zero_grad()
                (y if side == 'released' else y[0]).square().sum().backward()

    return step


LINEAR_MACS = 784 * 192 * 768
EXPONENTIALS = 100_000


def linear_step():
    """Many products (784, 192) → 768."""
    x, weight = torch.randn(784, 192), torch.randn(768, 192)

    def step() -> None:
        with torch.no_grad():
            for _ in range(40):
                torch.nn.functional.linear(x, weight)

    return step


def exp_step():
    """Many exponentials of 1e5 elements."""
    values, out = torch.randn(EXPONENTIALS), torch.empty(EXPONENTIALS)

    def step() -> None:
        for _ in range(400):
            torch.exp(values, out=out)

    return step


# the two measures of the machine's speed
RATES = dict(linear=linear_step, exp=exp_step)


def bound(rates: dict[str, list[float]], args: argparse.Namespace) -> dict:
    """Seconds that the multiply-adds and the exponentials of the shared form take at those rates."""
    arch = RSMamba.arch_zoo[args.arch]
    C, E, layers = arch['embed_dims'], arch['feedforward_channels'], arch['num_layers']
    R, N, K = -(-C // 16), 16, 3
    L = (-(-args.img_size // 8)) ** 2
    per_token = 2 * C * E + C * E + K * (E * (R + 2 * N) + R * E + 4 * E + 3 * E * N)
    macs = args.batch * L * (layers * per_token + 3 * 16 * 16 * C)
    exponentials = args.batch * layers * K * L * E * N
    mac_rate = 40 * LINEAR_MACS / statistics.median(rates['linear'])
    exp_rate = 400 * EXPONENTIALS / statistics.median(rates['exp'])
    seconds = macs / mac_rate + exponentials / exp_rate
    print(
        f'  bound: {macs / 1e9:.2f} G multiply-adds at {mac_rate / 1e9:.1f} G/s, '
        f'{exponentials / 1e6:.0f} M exponentials at {exp_rate / 1e6:.0f} M/s: {seconds:.4f} s'
    )
    return dict(
        multiply_adds=macs,
        multiply_adds_per_second=mac_rate,
        exponentials=exponentials,
        exponentials_per_second=exp_rate,
        seconds=seconds,
    )


if __name__ == '__main__':
    main()
