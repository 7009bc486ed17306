#!/usr/bin/env python3
"""UNetMamba on each scan backend, with and without LSM, inference and training, in one run.

Sides: scan backends, and with ``-without-lsm`` behind the name the model stripped of its local supervision.
Weights are random. Inference is of whole images, and stripping must not change a bit of its result; a step
of training is forward, loss, backward and the optimiser's step of the config. Memory is the growth of the
resident size in the first step, and its peak in all.

Each side runs in a process of its own, as its user would run it.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import warnings
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import torch
from _measure import interleave, make_parser, serve, table, write_json
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData

from rsmamba_mm.ops import use_backend

# ResT-Lite, 6 classes
CONFIG = Path(__file__).parents[2] / 'configs/unetmamba/unetmamba_rest-lite_vaihingen-512x512.py'
STRIPPED = '-without-lsm'
DEFAULTS = dict(
    inference=dict(sizes=[256, 1024], batch=1, sides=['torch', 'cpu', f'cpu{STRIPPED}', 'reference']),
    training=dict(sizes=[512], batch=2, sides=['cpu', f'cpu{STRIPPED}']),
)


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument('mode', choices=list(DEFAULTS))
    parser.add_argument('--sizes', type=int, nargs='+', help='default: 256 1024; for training 512')
    parser.add_argument('--batch', type=int, help='default: 1 for inference, 2 for training')
    parser.add_argument(
        '--sides',
        nargs='+',
        help='default: torch cpu cpu-without-lsm reference; for training cpu cpu-without-lsm',
    )
    args = parser.parse_args()
    for name, value in DEFAULTS[args.mode].items():
        setattr(args, name, getattr(args, name) or value)
    warnings.filterwarnings('ignore')
    logging.disable(logging.WARNING)
    if args.serve:
        side, _, size = args.serve.partition(':')
        serve(STEPS[args.mode](side, int(size), args))
        return
    record = {}
    for size in args.sizes:
        print(f'{args.mode}, UNetMamba with ResT-Lite, {size} px, batch {args.batch}', flush=True)
        if args.mode == 'inference':
            check_stripped(size, args)
        seconds, memory, peak = interleave(args.sides, args.repeats, size)
        table(seconds, args.sides[0], memory, peak)
        lsm = cost_of_lsm(seconds, memory)
        record[size] = dict(seconds=seconds, memory_mb=memory, peak_mb=peak, lsm=lsm)
    write_json(args, sizes=record)


def pairs(sides: list[str]) -> list[str]:
    """The backends that run both with LSM and without it."""
    return [side for side in sides if f'{side}{STRIPPED}' in sides]


def cost_of_lsm(seconds: dict[str, list[float]], memory: dict[str, float]) -> dict[str, dict[str, float]]:
    """Time and memory with LSM over those without it, of each backend that ran both."""
    costs = {}
    for backend in pairs(list(seconds)):
        bare = f'{backend}{STRIPPED}'
        time = statistics.median(seconds[backend]) / statistics.median(seconds[bare])
        growth = memory[backend] / max(memory[bare], 1e-9)
        costs[backend] = dict(time=time, memory=growth)
        print(f'  {backend}: with LSM {time:.3f} × the time and {growth:.3f} × the memory without it')
    return costs


def check_stripped(size: int, args: argparse.Namespace) -> None:
    """End the program unless the model without LSM computes the very bits of the one it was taken from."""
    images = make_images(size, args)
    for backend in pairs(args.sides):
        whole, bare = (make_model(side)[0].eval() for side in (backend, f'{backend}{STRIPPED}'))
        state = whole.state_dict()
        bare.load_state_dict({k: v for k, v in state.items() if not k.startswith('auxiliary_head.')})
        with torch.no_grad(), use_backend(backend):
            outputs = [model.predict(images) for model in (whole, bare)]
        for one, other in zip(*outputs, strict=True):
            if not torch.equal(one.seg_logits.data, other.seg_logits.data):
                sys.exit(f'{backend}: the outputs with LSM and without it differ, which they must not')
        print(f'  {backend}: outputs with LSM and without it are identical', flush=True)


def make_model(side: str) -> tuple[BaseModel, Config]:
    """The side's model and the config it is from."""
    cfg = Config.fromfile(CONFIG)
    init_default_scope(cfg.default_scope)
    if side.endswith(STRIPPED):
        cfg.model.auxiliary_head = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model), cfg


def make_images(size: int, args: argparse.Namespace) -> torch.Tensor:
    return torch.randn(args.batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def inference_step(side: str, size: int, args: argparse.Namespace):
    """Whole-image inference, to labels at the size of the images."""
    model, images = make_model(side)[0].eval(), make_images(size, args)

    def step() -> None:
        with use_backend(side.removesuffix(STRIPPED)), torch.no_grad():
            model.predict(images)

    return step


def training_step(side: str, size: int, args: argparse.Namespace):
    """Forward, loss, backward and the step of the optimiser."""
    from mmseg.structures import SegDataSample

    model, cfg = make_model(side)
    optimizer = build_optim_wrapper(model.train(), cfg.optim_wrapper)
    images, samples = make_images(size, args), []
    for _ in images:
        labels = torch.randint(0, model.decode_head.num_classes, (1, size, size))
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))

    def step() -> None:
        with use_backend(side.removesuffix(STRIPPED)):
            loss, _ = model.parse_losses(model.loss(images, samples))
            optimizer.update_params(loss)

    return step


STEPS = dict(inference=inference_step, training=training_step)


if __name__ == '__main__':
    main()
