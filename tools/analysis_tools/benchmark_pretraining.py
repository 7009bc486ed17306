#!/usr/bin/env python3
"""A step of RoMA's pre-training against its published formulation, and against itself without the scan.

A step is the losses, their gradients and AdamW's update, on random images at the size of a config. Sides:
``published`` (plain Mamba with the reference scan), ``ours`` and ``no-scan`` (all else being equal). Each
runs in a process of its own, and they take turns. Printed are seconds, the speed beside the published one,
and the time beside the step without the scan. ``--sides`` may name a backend too, such as ``torch``.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from contextlib import nullcontext
from pathlib import Path

import rsmamba_mm._openmmlab

import torch
from _measure import interleave, make_parser, serve, table, write_json
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

import rsmamba_mm.models  # noqa: F401
from rsmamba_mm.ops import use_backend

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/roma'
SIDES = ('published', 'ours', 'no-scan')


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('--config', default='roma-t_192px', help='of configs/roma (default: %(default)s)')
    parser.add_argument('--batch', type=int, default=4, help='images a step (default: %(default)s)')
    parser.add_argument('--sides', nargs='+', default=list(SIDES), help='default: all three')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    logging.disable(logging.WARNING)
    if args.serve:
        serve(make_step(args.serve, args))
        return
    print(f'pre-training, {args.config}, batch {args.batch}, {torch.get_num_threads()} threads', flush=True)
    seconds, memory, peak = interleave(args.sides, args.repeats)
    table(seconds, args.sides[0], memory, peak)
    ratios = compare(seconds)
    for name, ratio in ratios.items():
        print(f'  {name}: {ratio:.2f}')
    write_json(args, seconds=seconds, memory_mb=memory, ratios=ratios)


def compare(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Medians over the turns of the ratio in each turn, which the machine's load concerns alike."""

    def ratio(first: str, second: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[first], seconds[second], strict=True))

    pairs = {
        'times as fast as published': ('published', 'ours'),
        'times as long as without the scan': ('ours', 'no-scan'),
    }
    return {name: ratio(*sides) for name, sides in pairs.items() if set(sides) <= set(seconds)}


def make_step(side: str, args: argparse.Namespace):
    """One step of a side."""
    cfg = Config.fromfile(CONFIGS / f'{args.config}.py').model
    if side == 'no-scan':
        cfg.backbone.layer_cfgs = dict(cfg.backbone.get('layer_cfgs') or {}, scan='identity')
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg).train()
    loss = model.loss
    if side == 'published':
        from published.roma import published_roma

        loss = published_roma(model)
    size, bands = cfg.backbone.img_size, cfg.backbone.get('in_channels', 3)
    images = torch.randn(args.batch, bands, size, size, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        with nullcontext() if side in SIDES else use_backend(side):
            optimizer.zero_grad()
            sum(loss(images).values()).backward()
            optimizer.step()

    return step


if __name__ == '__main__':
    main()
