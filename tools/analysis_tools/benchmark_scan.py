#!/usr/bin/env python3
"""One training step of RSMamba's mixer against the structure of the released code, in one run.

The peer is transformers' ``MambaMixer`` with mambapy's parallel scan, given the three paths of each
image as a batch, as the released backbone does. It needs an environment with
``transformers==4.46.3 mambapy==1.2.0`` (``requirements/benchmark.txt``). Both sides take turns, so that
whatever else the machine does meets both; the median and the spread are printed with the ratio.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from rsmamba_mm.layers import MultiPathMamba
from rsmamba_mm.ops import make_orders, use_backend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch', type=int, default=2, help='images; default: 2')
    parser.add_argument('--tokens', type=int, default=784, help='default: 784, a 224 px image')
    parser.add_argument('--channels', type=int, default=192, help='default: 192, RSMamba-Base')
    parser.add_argument('--repeats', type=int, default=5, help='default: 5')
    parser.add_argument('--backend', default='torch', help='of our side; default: torch')
    parser.add_argument('--json', type=Path, help='write the figures there')
    args = parser.parse_args()
    sides = {'transformers + mambapy': peer_step(args), f'rsmamba_mm, {args.backend}': our_step(args)}
    seconds = interleave(sides, args.repeats)
    report(seconds, args)


def peer_step(args: argparse.Namespace) -> Callable[[], None]:
    """Three paths as a batch through the released code's mixer."""
    try:
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer
    except ImportError as error:
        raise SystemExit(
            f'the peer cannot be imported ({error}): pip install -r requirements/benchmark.txt, '
            'best in an environment of its own'
        ) from None
    config = MambaConfig(
        hidden_size=args.channels,
        intermediate_size=2 * args.channels,
        state_size=16,
        conv_kernel=4,
        use_mambapy=True,
        use_bias=False,
    )
    mixer = MambaMixer(config, layer_idx=0).train()
    x = torch.randn(3 * args.batch, args.tokens, args.channels, requires_grad=True)

    def step() -> None:
        mixer.zero_grad()
        mixer(x).square().mean().backward()

    return step


def our_step(args: argparse.Namespace) -> Callable[[], None]:
    """The same three paths with shared projections and the scan of one backend."""
    mixer = MultiPathMamba(args.channels)
    gate = torch.nn.Sequential(torch.nn.Linear(3 * args.channels, 3, bias=False), torch.nn.Softmax(-1))
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, args.tokens)
    x = torch.randn(args.batch, args.tokens, args.channels, requires_grad=True)

    def step() -> None:
        mixer.zero_grad()
        with use_backend(args.backend):
            mixer(x, orders, gate).square().mean().backward()

    return step


def interleave(sides: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side's runs, taken in turns after one warm-up each."""
    for step in sides.values():
        step()
    seconds = {name: [] for name in sides}
    for _ in range(repeats):
        for name, step in sides.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(seconds: dict[str, list[float]], args: argparse.Namespace) -> None:
    """Print the table and its ratio; write the JSON if asked."""
    print(
        f'training step of one mixer, batch {args.batch}, {args.tokens} tokens, {args.channels} '
        f'channels, 3 paths; {torch.get_num_threads()} threads, torch {torch.__version__}'
    )
    for name, runs in seconds.items():
        print(f'  {name:28s} median {statistics.median(runs):8.3f} s   {min(runs):.3f} … {max(runs):.3f}')
    peer, ours = (statistics.median(runs) for runs in seconds.values())
    print(f'  ratio {peer / ours:.1f}×')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        options = {name: value for name, value in vars(args).items() if name != 'json'}
        machine = dict(threads=torch.get_num_threads(), torch=torch.__version__)
        record = dict(
            options=options,
            machine=dict(processor=platform.machine(), **machine),
            seconds=seconds,
            ratio=peer / ours,
        )
        args.json.write_text(json.dumps(record, indent=2) + '\n')


if __name__ == '__main__':
    main()
