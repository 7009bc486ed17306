#!/usr/bin/env python3
"""Time and memory on an NVIDIA GPU: scan alone, RSMamba and UNetMamba, all sides in one run.

Sides: ``released`` is the structure of the released code on mamba_ssm's kernel (of the scan alone, that
kernel in its own layout), the others are this package on each backend. A side that cannot run is named with
the reason. The bound of a scan is the time in which the device copies the bytes that the scan must move.

With ``--dry-run`` every step runs at tiny sizes on the CPU, the kernels in Triton's interpreter where
``TRITON_INTERPRET=1`` is set: that shows that this program works, and says nothing of speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from _measure import describe_machine

from rsmamba_mm.models import RSMamba
from rsmamba_mm.ops import make_orders, multi_order_scan, use_backend
from rsmamba_mm.ops.backends import obstacle

CONFIG = 'configs/unetmamba/unetmamba_rest-lite_loveda-512x512.py'
STATES = 16
PATIENCE = 20.0  # seconds of a side after which it is asked no more
Step = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the cases; a scan's are (batch, paths, channels of a path, steps)."""

    scans: tuple[tuple[int, int, int, int], ...] = ((64, 3, 384, 784), (1, 4, 128, 65536))
    states: int = STATES
    arch: str | dict = 'base'
    layer: tuple[tuple[str, int], ...] = ()
    training: tuple[int, int] = (256, 224)  # batch, pixels
    large: int = 2048
    segmentation: int = 1024
    copied: int = 2**30  # bytes


TINY = Sizes(
    scans=((1, 2, 4, 5), (1, 1, 4, 70)),
    states=1,
    arch=dict(embed_dims=4, num_layers=1, feedforward_channels=8),
    layer=(('d_state', 1), ('d_conv', 2)),
    training=(1, 16),
    large=24,
    segmentation=64,
    copied=2**16,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/gpu_check'), help='folder of the results'
    )
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--sides', nargs='+', default=['released', 'triton', 'torch'])
    parser.add_argument(
        '--dry-run', action='store_true', help='tiny, on the CPU: whether this program works'
    )
    args = parser.parse_args()
    if not args.dry_run and not torch.cuda.is_available():
        raise SystemExit(
            f'benchmark_gpu.py needs an NVIDIA GPU, and PyTorch {torch.__version__} finds none here; '
            'with --dry-run it runs every step at tiny sizes on the CPU.'
        )
    torch.manual_seed(0)
    bench = Benchmark('cpu' if args.dry_run else 'cuda', TINY if args.dry_run else Sizes(), args)
    record = dict(machine=bench.machine(), dry_run=args.dry_run, checks=bench.checks())
    record['bytes_per_second'] = bench.copy_rate()
    record['cases'] = bench.cases(record['bytes_per_second'])
    args.out.mkdir(parents=True, exist_ok=True)
    text = table(record)
    print(text)
    (args.out / 'benchmark.json').write_text(json.dumps(record, indent=2) + '\n')
    (args.out / 'benchmark.txt').write_text(text + '\n')
    draw(record, args.out / 'benchmark.png')
    print(f'records: {args.out}')


class Benchmark:
    """The cases, on one device.

    Args:
        device (str): ``'cuda'``, or ``'cpu'`` for the dry run.
        sizes (Sizes): Sizes of the cases.
        args (argparse.Namespace): With ``sides`` and ``repeats``.
    """

    def __init__(self, device: str, sizes: Sizes, args: argparse.Namespace) -> None:
        self.device, self.sizes, self.args = device, sizes, args
        self.cuda = device == 'cuda'

    def machine(self) -> dict:
        gpu = torch.cuda.get_device_name() if self.cuda else 'none: a dry run on the CPU'
        return dict(gpu=gpu, cuda=torch.version.cuda, **describe_machine())

    # checks --------------------------------------------------------------------------------------

    def checks(self) -> dict[str, str]:
        """Whether what surrounds the kernels works with them: ``'right'``, or what went wrong."""
        checks = dict(
            amp_fp16=lambda: self.amp(torch.float16),
            amp_bf16=lambda: self.amp(torch.bfloat16),
            torch_compile=self.compiled,
            cuda_graph=self.graph,
        )
        results = {}
        for name, check in checks.items():
            try:
                results[name] = check() or 'right'
            except Exception as error:  # the next check should run all the same
                results[name] = f'{type(error).__name__}: {(str(error).splitlines() or [""])[0]}'
            print(f'check {name}: {results[name]}', flush=True)
        return results

    def amp(self, dtype: torch.dtype) -> None:
        model, x = self.model(), torch.randn(2, 3, *self.pixels(), device=self.device)
        exact = model(x)[0]
        with torch.autocast(self.device, dtype=dtype):
            low = model(x)[0]
        low.float().square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        assert (low.float() - exact).abs().max() < 0.1 * exact.abs().max(), 'far from float32'

    def compiled(self) -> None:
        model, x = self.model(), torch.randn(2, 3, *self.pixels(), device=self.device)
        compiled = torch.compile(model, backend='inductor' if self.cuda else 'aot_eager')
        torch.testing.assert_close(compiled(x)[0], model(x)[0], rtol=1e-3, atol=1e-3)

    @torch.no_grad()
    def graph(self) -> str | None:
        if not self.cuda:
            return 'left out: CUDA graphs need a GPU'
        model, x = self.model(), torch.randn(2, 3, *self.pixels(), device=self.device)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            model(x)  # compiles, and makes the orders
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = model(x)[0]
        x.normal_()
        graph.replay()
        torch.testing.assert_close(captured, model(x)[0])
        return None

    def model(self) -> RSMamba:
        settings = dict(img_size=self.sizes.training[1], layer_cfgs=dict(self.sizes.layer))
        return RSMamba(self.sizes.arch, **settings).to(self.device).eval()

    def pixels(self) -> tuple[int, int]:
        return (self.sizes.training[1],) * 2

    # cases ---------------------------------------------------------------------------------------

    def copy_rate(self) -> float:
        """Bytes read and written in a second by a copy."""
        source = torch.empty(self.sizes.copied, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        seconds = self.interleave({'copy': lambda: target.copy_(source)})['copy']
        return 2 * self.sizes.copied / statistics.median(seconds)

    def cases(self, rate: float) -> dict[str, dict]:
        results = {}
        for sizes in self.sizes.scans:
            batch, paths, channels, steps = sizes
            for backward in (False, True):
                passes = 'forward and backward' if backward else 'forward'
                name = f'scan ({batch * paths if paths == 3 else batch}, {channels}, {steps})'
                name += f' of {paths} paths, {passes}'
                makers = {side: partial(self.scan, side, sizes, backward) for side in self.args.sides}
                results[name] = self.case(name, makers)
                results[name]['bound_seconds'] = self.scan_bytes(sizes, backward) / rate
        batch, pixels = self.sizes.training
        for name, training, count, size in (
            (f'RSMamba-Base, training, batch {batch}, {pixels} px', True, batch, pixels),
            (f'RSMamba-Base, inference, one image of {self.sizes.large} px', False, 1, self.sizes.large),
        ):
            makers = {
                side: partial(self.classification, side, training, count, size) for side in self.args.sides
            }
            results[name] = self.case(name, makers, images=count)
        name = f'UNetMamba, inference, one image of {self.sizes.segmentation} px'
        # in the interpreter it would take hours
        sides = [side for side in self.args.sides if side != 'released' and (self.cuda or side == 'torch')]
        makers = {side: partial(self.segmentation, side) for side in sides}
        results[name] = self.case(name, makers, images=1)
        return results

    def case(self, name: str, makers: dict[str, Callable[[], Step]], images: int | None = None) -> dict:
        """Seconds of each side and the peak of its memory; sides that cannot run with the reason."""
        print(f'{name} …', flush=True)
        steps, memory, absent = {}, {}, {}
        for side, make in makers.items():
            reason = self.obstacle(side)
            if reason is None:
                try:
                    steps[side], memory[side] = self.first_step(make)
                except torch.OutOfMemoryError:
                    reason = 'out of memory'
                except ImportError as error:
                    reason = str(error)
            if reason is not None:
                absent[side] = reason
        result = dict(seconds=self.interleave(steps), peak_mb=memory, absent=absent)
        if images is not None:
            result['images_per_second'] = {
                side: images / statistics.median(runs) for side, runs in result['seconds'].items()
            }
        return result

    def obstacle(self, side: str) -> str | None:
        return obstacle('mamba_ssm' if side == 'released' else side, self.device)

    def first_step(self, make: Callable[[], Step]) -> tuple[Step, float]:
        """A step that has run once (so its kernels are compiled), and the peak of its memory in MB."""
        if self.cuda:
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
        step = make()
        step()
        if not self.cuda:
            return step, 0.0
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return step, (torch.cuda.max_memory_allocated() - before) / 2**20

    def interleave(self, steps: dict[str, Step]) -> dict[str, list[float]]:
        """Seconds of each side's steps; they take turns, and a slow one fewer."""
        seconds: dict[str, list[float]] = {side: [] for side in steps}
        for _ in range(1 if self.args.dry_run else self.args.repeats):
            for side, step in steps.items():
                if sum(seconds[side]) < PATIENCE:
                    seconds[side].append(self.timed(step))
        return seconds

    def timed(self, step: Step) -> float:
        if not self.cuda:
            start = time.perf_counter()
            step()
            return time.perf_counter() - start
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    def scan(self, side: str, sizes: tuple[int, ...], backward: bool) -> Step:
        """One scan in bfloat16, steps given in full."""
        batch, paths, channels, length = sizes
        half = dict(device=self.device, dtype=torch.bfloat16)
        shape = (batch, paths, length)
        u, delta = (torch.randn(*shape, channels, **half) for _ in range(2))
        B, C = (torch.randn(*shape, self.sizes.states, **half) for _ in range(2))
        A = -torch.rand(paths, channels, self.sizes.states, device=self.device)
        D, bias = (torch.ones(paths, channels, device=self.device) for _ in range(2))
        names = (['forward', 'reverse', 'shuffle'] if paths == 3 else ['forward', 'reverse'] * 2)[:paths]
        orders = make_orders(names, 1, length).to(self.device)
        inputs = (u, delta, A, B, C, D, bias)
        if side == 'released':
            from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

            u, delta = (x.mT.flatten(1, 2).contiguous() for x in (u, delta))
            A, D, bias = (x.flatten(0, 1) for x in (A, D, bias))
            inputs = (u, delta, A, B.mT.contiguous(), C.mT.contiguous(), D, bias)
        for x in inputs:
            x.requires_grad_(backward)
        grad = torch.randn_like(u)

        def step() -> None:
            u, delta, A, B, C, D, bias = inputs
            if side == 'released':
                y = selective_scan_fn(u, delta, A, B, C, D, None, bias, True)
            else:
                with use_backend(side):
                    y = multi_order_scan(u, delta, A, B, C, D, orders, bias, delta_softplus=True)
            if backward:
                torch.autograd.grad(y, inputs, grad)

        return step

    def scan_bytes(self, sizes: tuple[int, ...], backward: bool) -> int:
        """What a scan must move in bfloat16: each input read and each output written once a pass."""
        batch, paths, channels, length = sizes
        wide, narrow = channels, 2 * self.sizes.states
        forward = 3 * wide + narrow
        return 2 * batch * paths * length * (forward + (5 * wide + 2 * narrow if backward else 0))

    def classification(self, side: str, training: bool, batch: int, pixels: int) -> Step:
        """A training or inference step of RSMamba-Base in bfloat16."""
        if side == 'released':
            from _released import Released

            arch = RSMamba.arch_zoo[self.sizes.arch]
            model = Released(arch['embed_dims'], arch['num_layers'], pixels, kernel=True)
        else:
            patch = dict(stride=8)
            settings = dict(img_size=pixels, layer_cfgs=dict(self.sizes.layer), patch_cfg=patch)
            model = RSMamba(self.sizes.arch, **settings)
        model = model.to(self.device).train(training)
        x = torch.randn(batch, 3, pixels, pixels, device=self.device)

        def step() -> None:
            forced = nullcontext() if side == 'released' else use_backend(side)
            autocast = torch.autocast(self.device, dtype=torch.bfloat16)
            with forced, autocast, torch.set_grad_enabled(training):
                y = model(x)
            if training:
                model.zero_grad(set_to_none=True)
                (y if side == 'released' else y[0]).float().square().mean().backward()

        return step

    def segmentation(self, side: str) -> Step:
        """Inference of UNetMamba in bfloat16."""
        from mmengine.config import Config
        from mmengine.registry import MODELS, init_default_scope

        config = Config.fromfile(Path(__file__).parents[2] / CONFIG)
        init_default_scope(config.default_scope)
        model = MODELS.build(config.model).to(self.device).eval()
        x = torch.randn(1, 3, *(self.sizes.segmentation,) * 2, device=self.device)

        @torch.no_grad()
        def step() -> None:
            with use_backend(side), torch.autocast(self.device, dtype=torch.bfloat16):
                model(x, mode='tensor')

        return step


def table(record: dict) -> str:
    """The figures as text."""
    lines = [f'{record["machine"]["gpu"]}, PyTorch {record["machine"]["torch"]}']
    if record['dry_run']:
        lines.append('DRY RUN at tiny sizes on the CPU: the figures say nothing')
    lines.append(f'copy: {record["bytes_per_second"] / 1e9:.0f} GB/s read and written')
    lines += [f'check {name}: {result}' for name, result in record['checks'].items()]
    for name, case in record['cases'].items():
        lines.append(name)
        medians = {side: statistics.median(runs) for side, runs in case['seconds'].items()}
        base = medians.get('released')
        for side, runs in case['seconds'].items():
            fastest, slowest = (1e3 * extreme(runs) for extreme in (min, max))
            line = f'  {side:10s}{medians[side] * 1e3:11.3f} ms  ({fastest:.3f} … {slowest:.3f})'
            line += f'{case["peak_mb"][side]:10.0f} MB'
            if base is not None:
                line += f'  {base / medians[side]:6.2f}× released'
            if 'bound_seconds' in case:
                line += f'  {medians[side] / case["bound_seconds"]:6.2f} over the bound'
            if 'images_per_second' in case:
                line += f'  {case["images_per_second"][side]:8.1f} images/s'
            lines.append(line)
        lines += [f'  {side:10s} not run: {reason}' for side, reason in case['absent'].items()]
    return '\n'.join(lines)


def draw(record: dict, out: Path) -> None:
    """Milliseconds of each case and side."""
    from matplotlib.figure import Figure

    cases = {name: case for name, case in record['cases'].items() if case['seconds']}
    figure = Figure(figsize=(9, 1.2 * len(cases) + 1), layout='constrained')
    axes = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    for axis, (name, case) in zip(axes, cases.items(), strict=True):
        medians = {side: statistics.median(runs) * 1e3 for side, runs in case['seconds'].items()}
        axis.barh(list(medians), list(medians.values()))
        if 'bound_seconds' in case:
            axis.axvline(case['bound_seconds'] * 1e3, color='black', linestyle='--')
        axis.set_title(name, fontsize=9, loc='left')
        axis.invert_yaxis()
    axis.set_xlabel('ms; dashed: the bytes at the copy rate' + (' (dry run)' if record['dry_run'] else ''))
    figure.savefig(out, dpi=120)


if __name__ == '__main__':
    main()
