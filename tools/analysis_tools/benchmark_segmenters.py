#!/usr/bin/env python3
"""The segmenters that UNetMamba is compared with, side by side: what they cost, and what they take here.

Sides are models of ``configs/_base_/models``, each for 6 classes, with random weights, on the backend that
serves. A turn is one image through ``predict``, to labels at its size. Each side runs in a process of its
own; they take turns. Memory is the growth of the resident size in the first step. ``--json FILE`` keeps the
figures, ``--from FILE`` writes them into docs/segmenters.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import warnings
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import torch
from _measure import interleave, make_parser, markdown, serve, table, write_between, write_json
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope

from rsmamba_mm.models.complexity import count_operations

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/segmenters.md'
START, END = '<!-- figures: tools/analysis_tools/benchmark_segmenters.py -->\n', '<!-- end of figures -->\n'
SIDES = {
    'banet_rest-lite': 'BANet, ResT-Lite',
    'manet_r50': 'MANet, ResNet-50',
    'dcswin_swin-t': 'DC-Swin, Swin-T',
    'unetformer_r18': 'UNetFormer, ResNet-18',
    'pyramidmamba_r18': 'Efficient PyramidMamba, ResNet-18',
    'cmunet_r18': 'CM-UNet, ResNet-18',
    'rs3mamba': 'RS3Mamba, ResNet-18 and VMamba-T',
    'unetmamba_rest-lite': 'UNetMamba, ResT-Lite',
}


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('--sides', nargs='+', choices=SIDES, default=list(SIDES), metavar='MODEL')
    parser.add_argument('--sizes', type=int, nargs='+', default=[512, 1024])
    parser.add_argument('--from', dest='kept', type=Path, metavar='FILE', help='write these')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    logging.disable(logging.WARNING)
    if args.serve:
        side, _, size = args.serve.partition(':')
        serve(inference_step(side, int(size)))
        return
    if args.kept is None:
        write_json(args, counts=counts(args), sizes=measured(args))
    else:
        write_between(PAGE, START, END, rows(json.loads(args.kept.read_text())))


def measured(args: argparse.Namespace) -> dict:
    """Seconds of each image, memory and its peak, by size and side."""
    record = {}
    for size in args.sizes:
        print(f'inference, {size} px, batch 1', flush=True)
        seconds, memory, peak = interleave(args.sides, args.repeats, size)
        table(seconds, args.sides[-1], memory, peak)
        record[size] = dict(seconds=seconds, memory_mb=memory, peak_mb=peak)
    return record


def counts(args: argparse.Namespace) -> dict:
    """Parameters in use, multiply-adds and operations of scans, by side."""
    record = {}
    for side in args.sides:
        model = make_model(side)
        auxiliary = model.auxiliary_head if model.with_auxiliary_head else torch.nn.Identity()
        parameters = sum(p.numel() for p in model.parameters())
        trained_only = sum(p.numel() for p in auxiliary.parameters())
        operations = {size: count_operations(model, (1, 3, size, size)) for size in args.sizes}
        record[side] = dict(parameters=parameters, trained_only=trained_only, operations=operations)
    return record


def make_model(side: str) -> BaseModel:
    """The side's model in evaluation mode."""
    cfg = Config.fromfile(ROOT / f'configs/_base_/models/{side}.py')
    init_default_scope('mmseg')
    torch.manual_seed(0)
    return MODELS.build(dict(cfg.model, data_preprocessor=dict(type='SegDataPreProcessor'))).eval()


def inference_step(side: str, size: int):
    """Whole-image inference, to labels at the size of the image."""
    model = make_model(side)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))

    def step() -> None:
        with torch.no_grad():
            model.predict(image)

    return step


def rows(record: dict) -> str:
    """The table, a line for each side."""
    sizes = list(record['sizes'])
    heads = ['model', 'parameters', 'in training']
    for size in sizes:
        heads += [f'multiply-adds, {size} px', 'scans', 'time', 'memory']
    lines = [heads]
    for side, count in record['counts'].items():
        total = count['parameters']
        cells = [SIDES[side], f'{total - count["trained_only"]:,}', f'{total:,}']
        for size in sizes:
            adds, scans = count['operations'][size]
            figures = record['sizes'][size]
            cells += [
                f'{adds / 1e9:.1f} G',
                f'{scans / 1e9:.1f} G' if scans else '–',
                f'{statistics.median(figures["seconds"][side]):.2f} s',
                f'{figures["memory_mb"][side] / 1000:.1f} GB',
            ]
        lines.append(cells)
    machine, options = record['machine'], record['options']
    said = (
        f'Measured in one run on {machine["threads"]} threads of {machine["processor"]}, PyTorch '
        f'{machine["torch"]}, {options["repeats"]} turns; the median of the times.\n\n'
    )
    return said + markdown(lines)


if __name__ == '__main__':
    main()
