#!/usr/bin/env python3
"""Time and memory on an NVIDIA GPU: scan alone, RSMamba and UNetMamba, all sides in one run.

Sides: ``released`` is the structure of the released code on mamba_ssm's kernel (of the scan alone, that
kernel in its own layout), the others are this package on each backend. A side that cannot run is named with
the reason. The bound of a scan is the time in which the device copies the bytes that the scan must move.

Each figure is written to ``benchmark.jsonl`` as soon as it is measured; table and picture are made of that
file, at the end or by ``--table``.

With ``--dry-run`` every step runs at tiny sizes on the CPU, the kernels in Triton's interpreter where
``TRITON_INTERPRET=1`` is set: that shows that this program works, and says nothing of speed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from _measure import describe_machine
from _record import Record, read

from rsmamba_mm.command_line import Parser
from rsmamba_mm.models import RSMamba
from rsmamba_mm.ops import make_orders, multi_order_scan, use_backend
from rsmamba_mm.ops.backends import obstacle

CONFIG = 'configs/unetmamba/unetmamba_rest-lite_loveda-512x512.py'
STATES = 16
PATIENCE = 4.0  # seconds of a side after which it is asked no more
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
    scans=((1, 2, 4, 5), (1, 1, 4, 9)),
    states=1,
    arch=dict(embed_dims=4, num_layers=1, feedforward_channels=8),
    layer=(('d_state', 1), ('d_conv', 2)),
    training=(1, 16),
    large=24,
    segmentation=64,
    copied=2**16,
)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/gpu_check'), help='folder of the results'
    )
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--sides', nargs='+', default=['released', 'triton', 'mamba_hub', 'torch'])
    parser.add_argument(
        '--dry-run', action='store_true', help='tiny, on the CPU: whether this program works'
    )
    parser.add_argument('--resume', action='store_true', help='go on with what the last run left in --out')
    parser.add_argument('--table', action='store_true', help='measure nothing: tell what is in --out')
    args = parser.parse_args()
    file = args.out / 'benchmark.jsonl'
    if args.table:
        tell(read(file), args.out)
        return
    if not args.dry_run and not torch.cuda.is_available():
        raise SystemExit(
            f'benchmark_gpu.py needs an NVIDIA GPU, and PyTorch {torch.__version__} finds none here; '
            'with --dry-run it runs every step at tiny sizes on the CPU.'
        )
    torch.manual_seed(0)
    record = Record(file, args.resume)
    bench = Benchmark(
        'cpu' if args.dry_run else 'cuda', TINY if args.dry_run else Sizes(), record, args.repeats
    )
    if not record.entries:
        record.write(machine=bench.machine(), dry_run=args.dry_run)
    bench.run(args.sides)
    tell(record.entries, args.out)
    if record.failed:
        raise SystemExit(1)


def tell(entries: list[dict], out: Path) -> None:
    """Print the table of a record and draw its picture."""
    figures = collect(entries)
    print(table(figures))
    if any(case['seconds'] for case in figures['cases'].values()):
        draw(figures, out / 'benchmark.png')


def collect(entries: list[dict]) -> dict:
    """What is known of each case, of the lines of a record."""
    figures: dict = dict(cases={})
    for entry in entries:
        if 'case' not in entry:
            figures.update(entry)
            continue
        known = figures['cases'].setdefault(entry['case'], dict(seconds={}, peak_mb={}, absent={}))
        side = entry.get('part')
        if 'step' in entry:
            known['seconds'].setdefault(side, []).append(entry['step'])
        elif 'error' in entry or 'absent' in entry:
            known['absent'][side] = entry.get('error') or entry['absent']
        elif 'peak_mb' in entry:
            known['peak_mb'][side] = entry['peak_mb']
        else:
            known |= {key: entry[key] for key in ('images', 'bound_seconds') if key in entry}
    return figures


class Benchmark:
    """The cases, on one device.

    Args:
        device (str): ``'cuda'``, or ``'cpu'`` for the dry run.
        sizes (Sizes): Sizes of the cases.
        record (Record): Where the figures go.
        repeats (int): Steps of each side that are timed.
    """

    def __init__(self, device: str, sizes: Sizes, record: Record, repeats: int) -> None:
        self.device, self.sizes, self.record = device, sizes, record
        self.cuda = device == 'cuda'
        self.repeats = repeats if self.cuda else 1

    def machine(self) -> dict:
        gpu = torch.cuda.get_device_name() if self.cuda else 'none: a dry run on the CPU'
        return dict(gpu=gpu, cuda=torch.version.cuda, **describe_machine())

    # cases ---------------------------------------------------------------------------------------

    def run(self, sides: list[str]) -> None:
        """Measure all cases, the most telling first, but for those that the record has whole."""
        rate = next((e['bytes_per_second'] for e in self.record.entries if 'bytes_per_second' in e), None)
        if rate is None:
            rate = self.copy_rate()
            self.record.write(bytes_per_second=rate)
        batch, pixels = self.sizes.training
        first, *others = self.sizes.scans
        self.scans(first, sides, rate)
        self.classifications(f'training, batch {batch}, {pixels} px', sides, True, batch, pixels)
        for sizes in others:
            self.scans(sizes, sides, rate)
        large = self.sizes.large
        self.classifications(f'inference, one image of {large} px', sides, False, 1, large)
        name = f'UNetMamba, inference, one image of {self.sizes.segmentation} px'
        # in the interpreter it would take hours
        sides = [side for side in sides if side != 'released' and (self.cuda or side == 'torch')]
        self.case(name, {side: partial(self.segmentation, side) for side in sides}, images=1)

    def copy_rate(self) -> float:
        """Bytes read and written in a second by a copy."""
        source = torch.empty(self.sizes.copied, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        seconds = [self.timed(lambda: target.copy_(source)) for _ in range(self.repeats + 1)]
        return 2 * self.sizes.copied / statistics.median(seconds[1:])

    def scans(self, sizes: tuple[int, int, int, int], sides: list[str], rate: float) -> None:
        """A scan alone, forward and then also backward."""
        batch, paths, channels, steps = sizes
        for backward in (False, True):
            name = f'scan ({batch * paths if paths == 3 else batch}, {channels}, {steps}) of {paths} paths'
            name += ', forward and backward' if backward else ', forward'
            makers = {side: partial(self.scan, side, sizes, backward) for side in sides}
            self.case(name, makers, bound_seconds=self.scan_bytes(sizes, backward) / rate)

    def classifications(self, words: str, sides: list[str], training: bool, count: int, size: int) -> None:
        makers = {side: partial(self.classification, side, training, count, size) for side in sides}
        self.case(f'RSMamba-Base, {words}', makers, images=count)

    def case(self, name: str, makers: dict[str, Callable[[], Step]], **known: float) -> None:
        """Seconds of each side's steps, the peak of its memory, and why a side cannot run."""
        if any(entry.get('done') == name for entry in self.record.entries):
            return
        self.record.write(case=name, **known)
        print(f'{name} …', flush=True)
        gone = {e['part'] for e in self.record.failed if e['case'] == name}
        steps: dict[str, Step] = {}
        for side, make in makers.items():
            if side in gone:
                continue
            if (reason := self.obstacle(side)) is not None:
                self.record.write(case=name, part=side, absent=reason)
            else:
                self.record.attempt(name, side, partial(self.first_step, steps, side, make))
        self.interleave(name, steps)
        self.record.write(done=name)

    def obstacle(self, side: str) -> str | None:
        return obstacle('mamba_ssm' if side == 'released' else side, self.device)

    def first_step(self, steps: dict[str, Step], side: str, make: Callable[[], Step]) -> dict:
        """Make a side's step and run it twice: the first time compiles, the second gives the peak in MB."""
        before, peak = torch.cuda.memory_allocated() if self.cuda else 0, 0.0
        try:
            step = make()
            compiling = self.timed(step)
            if self.cuda:
                torch.cuda.reset_peak_memory_stats()
                self.timed(step)
                peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        except torch.OutOfMemoryError:
            return dict(absent='out of memory')
        except ImportError as error:
            return dict(absent=str(error))
        steps[side] = step
        return dict(first_seconds=compiling, peak_mb=peak)

    def interleave(self, name: str, steps: dict[str, Step]) -> None:
        """Time the sides' steps; they take turns, and a slow one fewer."""
        spent = dict.fromkeys(steps, 0.0)
        for _ in range(self.repeats):
            for side, step in steps.items():
                if spent[side] < PATIENCE:
                    timed = self.record.attempt(name, side, lambda step=step: dict(step=self.timed(step)))
                    spent[side] += float('inf') if timed is None else timed['step']

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


def table(figures: dict) -> str:
    """The figures as text."""
    lines = []
    if 'machine' in figures:
        lines.append(f'{figures["machine"]["gpu"]}, PyTorch {figures["machine"]["torch"]}')
    if figures.get('dry_run'):
        lines.append('DRY RUN at tiny sizes on the CPU: the figures say nothing')
    if 'bytes_per_second' in figures:
        lines.append(f'copy: {figures["bytes_per_second"] / 1e9:.0f} GB/s read and written')
    for name, case in figures['cases'].items():
        lines.append(name)
        medians = {side: statistics.median(runs) for side, runs in case['seconds'].items()}
        base = medians.get('released')
        for side, runs in case['seconds'].items():
            fastest, slowest = (1e3 * extreme(runs) for extreme in (min, max))
            line = f'  {side:10s}{medians[side] * 1e3:11.3f} ms  ({fastest:.3f} … {slowest:.3f})'
            line += f'{case["peak_mb"].get(side, 0):10.0f} MB'
            if base is not None:
                line += f'  {base / medians[side]:6.2f}× released'
            if 'bound_seconds' in case:
                line += f'  {medians[side] / case["bound_seconds"]:6.2f} over the bound'
            if 'images' in case:
                line += f'  {case["images"] / medians[side]:8.1f} images/s'
            lines.append(line)
        lines += [f'  {side:10s} not run: {reason}' for side, reason in case['absent'].items()]
    return '\n'.join(lines)


def draw(figures: dict, out: Path) -> None:
    """Milliseconds of each case and side."""
    from matplotlib.figure import Figure

    cases = {name: case for name, case in figures['cases'].items() if case['seconds']}
    figure = Figure(figsize=(9, 1.2 * len(cases) + 1), layout='constrained')
    axes = figure.subplots(len(cases), 1, squeeze=False)[:, 0]
    for axis, (name, case) in zip(axes, cases.items(), strict=True):
        medians = {side: statistics.median(runs) * 1e3 for side, runs in case['seconds'].items()}
        axis.barh(list(medians), list(medians.values()))
        if 'bound_seconds' in case:
            axis.axvline(case['bound_seconds'] * 1e3, color='black', linestyle='--')
        axis.set_title(name, fontsize=9, loc='left')
        axis.invert_yaxis()
    axis.set_xlabel(
        'ms; dashed: the bytes at the copy rate' + (' (dry run)' if figures.get('dry_run') else '')
    )
    figure.savefig(out, dpi=120)


if __name__ == '__main__':
    main()
