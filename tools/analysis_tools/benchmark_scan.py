#!/usr/bin/env python3
"""The scan alone, against sequence length: throughput and memory of each backend, in one run.

Sides: ``published`` is the formulation of mamba_ssm's reference function (decays and inputs of all steps
as two (B, D, L, N) tensors, then a loop over the steps), and the scan backends named. ``--mixer`` measures
one training step of a whole mixer instead, against transformers' ``MambaMixer`` with mambapy's scan
(``requirements/benchmark.txt``). With ``--json`` a picture of the lengths stands beside the record.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from _measure import interleave, make_parser, serve, table, write_json
from torch import Tensor

from rsmamba_mm.layers import MultiPathMamba
from rsmamba_mm.ops import make_orders, selective_scan, use_backend

# beyond this the published formulation takes many minutes: the backward of each of its steps fills a whole
# (B, D, L, N) tensor
PUBLISHED_LIMIT = 256


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('--lengths', type=int, nargs='+', default=[256, 1024, 4096, 16384, 65536])
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--channels', type=int, default=384)
    parser.add_argument('--sides', nargs='+', default=['published', 'torch', 'cpu'])
    parser.add_argument('--mixer', action='store_true', help='a mixer, 784 tokens, batch 2')
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.serve:
        side, _, length = args.serve.partition(':')
        serve(scan_step(side, int(length), args) if length else mixer_step(side))
        return
    if args.mixer:
        measure_mixer(args)
        return
    record: dict[str, dict] = {}
    for length in args.lengths:
        sides = [side for side in args.sides if side != 'published' or length <= PUBLISHED_LIMIT]
        print(
            f'forward and backward, batch {args.batch}, {args.channels} channels, 16 states, {length} steps'
        )
        seconds, memory, _ = interleave(sides, args.repeats, length)
        table(seconds, sides[0], memory)
        record[str(length)] = dict(seconds=seconds, memory_mb=memory)
    write_json(args, lengths=record)
    if args.json:
        draw(record, args.json.with_suffix('.png'))


def scan_step(side: str, length: int, args: argparse.Namespace):
    """Forward and backward of one scan."""
    shape = (args.batch, args.channels, length)
    u, delta = (torch.randn(shape, requires_grad=True) for _ in range(2))
    B, C = (torch.randn(args.batch, 16, length, requires_grad=True) for _ in range(2))
    A = (-torch.arange(1.0, 17.0).repeat(args.channels, 1)).requires_grad_()
    D = torch.ones(args.channels, requires_grad=True)

    def step() -> None:
        if side == 'published':
            y = published(u, delta, A, B, C, D)
        else:
            with use_backend(side):
                y = selective_scan(u, delta, A, B, C, D, delta_softplus=True)
        y.square().sum().backward()

    return step


def published(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The formulation of mamba_ssm's reference function."""
    delta = torch.nn.functional.softplus(delta)
    decay = torch.exp(torch.einsum('bdl,dn->bdln', delta, A))
    drive = torch.einsum('bdl,bnl,bdl->bdln', delta, B, u)
    state, outputs = torch.zeros_like(decay[:, :, 0]), []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + drive[:, :, t]
        outputs.append(torch.einsum('bdn,bn->bd', state, C[:, :, t]))
    return torch.stack(outputs, 2) + u * D[:, None]


def measure_mixer(args: argparse.Namespace) -> None:
    """One training step of RSMamba-Base's mixer at 224 px, batch 2."""
    print('training step of one mixer, batch 2, 784 tokens, 192 channels, 3 paths')
    sides = ['released', *(side for side in args.sides if side != 'published')]
    seconds, memory, _ = interleave(sides, args.repeats)
    table(seconds, 'released', memory)
    write_json(args, seconds=seconds, memory_mb=memory)


def mixer_step(side: str):
    """Forward and backward of one block's mixer and gate on three paths."""
    x = torch.randn(2, 784, 192, requires_grad=True)
    if side == 'released':
        from _released import ThreePaths

        model, arguments = ThreePaths(192), (torch.nn.Identity(),)
    else:
        gate = torch.nn.Sequential(torch.nn.Linear(576, 3, bias=False), torch.nn.Softmax(-1))
        model = MultiPathMamba(192)
        arguments = (make_orders(['forward', 'reverse', 'shuffle'], 1, 784), gate)

    def step() -> None:
        with use_backend('auto' if side == 'released' else side):
            model(x, *arguments).square().mean().backward()

    return step


def draw(record: dict[str, dict], out: Path) -> None:
    """Throughput and memory against sequence length."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout='constrained')
    throughput, memory = figure.subplots(1, 2)
    sides = dict.fromkeys(side for entry in record.values() for side in entry['seconds'])
    for side in sides:
        points = [(int(length), entry) for length, entry in record.items() if side in entry['seconds']]
        lengths = [length for length, _ in points]
        rates = [length / statistics.median(entry['seconds'][side]) for length, entry in points]
        throughput.plot(lengths, rates, marker='o', label=side)
        memory.plot(lengths, [entry['memory_mb'][side] for _, entry in points], marker='o', label=side)
    for axis, title in ((throughput, 'tokens per second'), (memory, 'growth of resident memory (MB)')):
        axis.set(xscale='log', yscale='log', xlabel='sequence length', title=title)
        axis.grid(alpha=0.3, which='both')
        axis.legend()
    figure.savefig(out, dpi=120)
    print(f'picture: {out}')


if __name__ == '__main__':
    main()
