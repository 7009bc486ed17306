#!/usr/bin/env python3
"""The classifiers that RSMamba is compared with, side by side: what they cost, and what they take here.

Sides are configs for UC Merced (21 classes), with random weights, on the backend that serves, at 224 px. An
inference turn is ``predict``, to classes; a training turn is the loss and its gradients, without mixing and
optimiser. Each side runs in a process of its own; at batch 1 they take turns, at larger ones they run one
after the other, as their memory together is more than many machines have. Memory is the growth of the
resident size in the first step. ``--published`` measures Vim and VMamba at batch 1 against their published
formulation with its reference scan instead. ``--json FILE`` keeps the figures, ``--from FILE`` writes them
into docs/classifiers.md.
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
import torch.nn.functional as F
from _measure import interleave, make_parser, markdown, serve, table, write_between, write_json
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

from rsmamba_mm.models.complexity import count_operations

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/classifiers.md'
START, END = (
    '<!-- figures: tools/analysis_tools/benchmark_classifiers.py -->\n',
    '<!-- end of figures -->\n',
)
SIZE = 224
SIDES = {
    'rsmamba-b_ucmerced': 'RSMamba-B',
    'rsmamba-b_no-scan_ucmerced': 'RSMamba-B without its scan',
    'rsmamba-b_gated-conv_ucmerced': 'RSMamba-B, convolution in place of its scan',
    'vim-t_ucmerced': 'Vim-Ti',
    'vmamba-t-s2l5_ucmerced': 'VMamba-T `s2l5`',
    'vmamba-t-s1l8_ucmerced': 'VMamba-T `s1l8`',
    'afmnet-released_ucmerced': 'AFM-Net, 64 experts',
    'afmnet-dense-moe8_ucmerced': 'AFM-Net, dense, 8 experts',
    'resnet18_224px': 'ResNet-18',
    'resnet50_224px': 'ResNet-50',
    'deit-t_224px': 'DeiT-T',
    'swin-t_224px': 'Swin-T',
}
# the sides that are measured against what was published
PUBLISHED = ('vim-t_ucmerced', 'vmamba-t-s2l5_ucmerced', 'vmamba-t-s1l8_ucmerced')
MODES = ('inference', 'training')


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('--sides', nargs='+', choices=SIDES, default=list(SIDES), metavar='CONFIG')
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 32])
    parser.add_argument('--published', action='store_true', help='against the published formulation')
    parser.add_argument('--from', dest='kept', type=Path, metavar='FILE', help='write these')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    logging.disable(logging.WARNING)
    if args.serve:
        side, mode, batch = args.serve.split(':')
        serve(make_step(side, mode, int(batch)))
        return
    if args.published:
        write_json(args, modes=against_published(args))
        return
    if args.kept is None:
        write_json(args, counts=counts(args), modes=measured(args))
    else:
        write_between(PAGE, START, END, rows(json.loads(args.kept.read_text())))


def measured(args: argparse.Namespace) -> dict:
    """Seconds of each step, memory and its peak, by mode, batch and side."""
    record = {}
    for mode in MODES:
        for batch in args.batches:
            print(f'{mode}, {SIZE} px, batch {batch}', flush=True)
            groups = [args.sides] if batch == 1 else [[side] for side in args.sides]
            repeats = args.repeats if batch == 1 else 1
            seconds, memory, peak = {}, {}, {}
            for group in groups:
                for whole, part in zip(
                    (seconds, memory, peak), turns(group, mode, batch, repeats), strict=True
                ):
                    whole.update(part)
            table(seconds, args.sides[0], memory, peak)
            record[f'{mode}, batch {batch}'] = dict(seconds=seconds, memory_mb=memory, peak_mb=peak)
    return record


def against_published(args: argparse.Namespace) -> dict:
    """Seconds of each step of the two formulations, by mode and side."""
    record = {}
    for mode in MODES:
        for side in (side for side in args.sides if side in PUBLISHED):
            print(f'{mode}, {SIZE} px, batch 1, {side}', flush=True)
            seconds, memory, _ = turns([f'{side}+published', side], mode, 1, args.repeats)
            table(seconds, f'{side}+published', memory)
            record[f'{mode}, {side}'] = dict(seconds=seconds, memory_mb=memory)
    return record


def turns(sides: list[str], mode: str, batch: int, repeats: int) -> list[dict]:
    """What :func:`interleave` measures, by the names of the sides alone."""
    figures = interleave([f'{side}:{mode}:{batch}' for side in sides], repeats)
    return [{key.partition(':')[0]: value for key, value in each.items()} for each in figures]


def counts(args: argparse.Namespace) -> dict:
    """Parameters, multiply-adds and operations of scans, by side."""
    record = {}
    for side in args.sides:
        model = make_model(side)
        adds, scans = count_operations(model, (1, 3, SIZE, SIZE))
        record[side] = dict(
            parameters=sum(p.numel() for p in model.parameters()), multiply_adds=adds, scans=scans
        )
    return record


def make_model(side: str) -> BaseModel:
    """The side's model in evaluation mode."""
    (path,) = (ROOT / 'configs').glob(f'*/{side}.py')
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(path).model).eval()


def make_step(side: str, mode: str, batch: int):
    """An inference or training step of a side, or of its published formulation."""
    side, _, published = side.partition('+')
    model = make_model(side)
    images = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(batch) % model.head.num_classes
    samples = [DataSample().set_gt_label(label) for label in labels]
    if published:
        from published import formulation

        logits = formulation(model)

    def infer() -> None:
        with torch.no_grad():
            if published:
                logits(images)
            else:
                model.predict(images)

    def train() -> None:
        model.zero_grad()
        if published:
            loss = F.cross_entropy(logits(images), labels)
        else:
            loss, _ = model.parse_losses(model.loss(images, samples))
        loss.backward()

    model.train(mode == 'training')
    return train if mode == 'training' else infer


def rows(record: dict) -> str:
    """The table, a line for each side."""
    heads, modes = ['model', 'parameters', 'multiply-adds', 'scans'], record['modes']
    for mode in modes:
        heads += [f'{mode}: an image', 'memory']
    lines = [heads]
    for side, count in record['counts'].items():
        scans = count['scans']
        cells = [
            SIDES[side],
            f'{count["parameters"]:,}',
            f'{count["multiply_adds"] / 1e9:.2f} G',
            f'{scans / 1e9:.2f} G' if scans else '–',
        ]
        for mode, figures in modes.items():
            batch = int(mode.rpartition(' ')[2])
            cells += [
                f'{1000 * statistics.median(figures["seconds"][side]) / batch:.0f} ms',
                f'{figures["memory_mb"][side]:,.0f} MB',
            ]
        lines.append(cells)
    machine, options = record['machine'], record['options']
    said = (
        f'Measured in one run on {machine["threads"]} threads of {machine["processor"]}, PyTorch '
        f'{machine["torch"]}, {SIZE} px; the median of {options["repeats"]} turns at batch 1, one turn at '
        'larger ones.\n\n'
    )
    return said + markdown(lines)


if __name__ == '__main__':
    main()
