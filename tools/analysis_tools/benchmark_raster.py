#!/usr/bin/env python3
"""What a map costs beside the model, and what its windows cost in quality.

``speed`` maps a mosaic, and after each strip runs the model alone on the same windows: the ratio is what
reading, blending and writing leave. ``memory`` watches the tool at several sizes. ``quality`` compares
windows with one pass over the whole, ``seams`` a map with one whose windows lie elsewhere. ``processes``
compares torchrun with one process. Both sides are measured in one run, in turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
import torch
from _measure import write_json
from rasterio.transform import Affine

from rsmamba_mm.apis import LandCoverSegmenter, segment_raster
from rsmamba_mm.apis.geo.grid import MULTIPLE, Axis
from rsmamba_mm.apis.geo.mosaic import mosaic
from rsmamba_mm.apis.geo.vrt import VirtualRaster
from rsmamba_mm.command_line import Parser

TOOL = Path(__file__).parents[1] / 'segment_raster.py'
CORNER = (3e5, 2.8e6)
BLOCK = (64, 32)  # pixels along and across a border, in which shares are counted


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['speed', 'memory', 'quality', 'seams', 'processes'])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('images', type=Path, help='folder of 8-bit colour images, tiled to the mosaic')
    parser.add_argument('--masks', type=Path, help='quality: folder of label images by the same names')
    parser.add_argument('--width', type=int, default=12_000)
    parser.add_argument('--height', type=int, default=12_000)
    parser.add_argument('--window', type=int, help="default: the config's")
    parser.add_argument('--overlap', type=int, help="default: the config's")
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--seconds', type=float, default=600, help='memory: how long to watch')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='benchmark_raster') as folder:
        figures = globals()[args.what](args, Path(folder))
    for name, figure in figures.items():
        print(f'  {name:58s} {figure:12.4f}' if isinstance(figure, float) else f'  {name:58s} {figure}')
    write_json(args, figures=figures)


def speed(args: argparse.Namespace, folder: Path) -> dict:
    """Window pixels per second of a whole call over those of the model alone."""
    source = tile(args.images, folder, args.height, args.width)
    segmenter = LandCoverSegmenter(args.config, args.checkpoint)
    window, stride = sizes(segmenter, args)
    rows, columns = Axis(args.height, window, stride), Axis(args.width, window, stride)
    alone = dict(wall=0.0, cpu=0.0)
    outside = dict(wall=0.0, cpu=0.0)

    def model_alone(progress) -> None:
        began = clocks()
        top = rows.starts[progress.done - 1]
        with rasterio.open(source) as raster:
            pixels = raster.read(window=((top, top + window), (0, args.width))).transpose(1, 2, 0)[
                ..., ::-1
            ]
        images = [np.ascontiguousarray(pixels[:, left : left + window]) for left in columns.starts]
        timed = clocks()
        for first in range(0, len(images), args.batch_size):
            segmenter.logits(images[first : first + args.batch_size])
        ended = clocks()
        for key in alone:
            alone[key] += ended[key] - timed[key]
            outside[key] += ended[key] - began[key]

    segmenter.logits([np.zeros((window, window, 3), np.uint8)])  # what is compiled is compiled
    began = clocks()
    segment_raster(
        source,
        folder / 'map.tif',
        segmenter,
        model_alone,
        window=window,
        overlap=window - stride,
        batch_size=args.batch_size,
    )
    whole = {key: value - began[key] - outside[key] for key, value in clocks().items()}
    pixels = len(rows) * len(columns) * window * window
    return {
        'windows': len(rows) * len(columns),
        'model alone, window pixels/s': pixels / alone['wall'],
        'whole call, window pixels/s': pixels / whole['wall'],
        'ratio, by the clock': alone['wall'] / whole['wall'],
        'ratio, by processor time of all threads': alone['cpu'] / whole['cpu'],
    }


def memory(args: argparse.Namespace, folder: Path) -> dict:
    """Highest resident memory of the tool in the first ``--seconds``, in GB, and how far it came."""
    source = tile(args.images, folder, args.height, args.width)
    process = start(args, source, folder / 'map.tif')
    peak, began = 0, time.monotonic()
    while process.poll() is None and time.monotonic() - began < args.seconds:
        time.sleep(0.5)
        peak = max(peak, resident(process.pid))
    done = len(list((folder / 'map.tif.part/labels').glob('*.tif')))
    finished = process.poll() is not None
    process.kill()
    process.wait()
    return {
        'highest resident memory, GB': peak / 2**20,
        'strips': 'all, and the map' if finished else done,
        'seconds': time.monotonic() - began,
    }


def quality(args: argparse.Namespace, folder: Path) -> dict:
    """Differing pixels and mIoU of windows at several overlaps, beside one pass over the whole."""
    side = min(args.height, args.width)
    files = tile(args.images, folder, side, side), folder / 'map.tif'
    segmenter = LandCoverSegmenter(args.config, args.checkpoint)
    window, _ = sizes(segmenter, args)
    with rasterio.open(files[0]) as raster:
        image = np.ascontiguousarray(raster.read().transpose(1, 2, 0)[..., ::-1])
    whole = segmenter.logits([image])[0].argmax(0).numpy().astype(np.uint8)
    truth = None
    if args.masks is not None:
        with rasterio.open(tile(args.masks, folder, side, side, 'truth.vrt')) as raster:
            truth = raster.read(1)
    classes = len(segmenter.classes)
    figures = {'whole: mIoU': miou(whole, truth, classes)} if truth is not None else {}
    some = (0, window // 8, window // 4, 3 * window // 8, window // 2)
    for overlap in some if args.overlap is None else (args.overlap,):
        segment_raster(*files, segmenter, window=window, overlap=overlap, overwrite=True)
        with rasterio.open(files[1]) as raster:
            labels = raster.read(1)
        name = f'overlap {overlap} of {window} px'
        figures[f'{name}: differing pixels, %'] = float(100 * (labels != whole).mean())
        if truth is not None:
            figures[f'{name}: mIoU'] = miou(labels, truth, classes)
    return figures


def seams(args: argparse.Namespace, folder: Path) -> dict:
    """How the classes' shares change from window to window, beside a map whose windows lie elsewhere.

    What is on the ground changes as well, but in both maps: the ratio is that of the windows.
    """
    side = min(args.height, args.width)
    source, other, dst = tile(args.images, folder, side, side), folder / 'other.tif', folder / 'map.tif'
    segmenter = LandCoverSegmenter(args.config, args.checkpoint)
    window, _ = sizes(segmenter, args)
    classes = len(segmenter.classes)
    figures = {}
    for overlap in (0, window // 4, window // 2) if args.overlap is None else (args.overlap,):
        stride = window - overlap
        shift = max(stride // 2 // MULTIPLE, 1) * MULTIPLE  # the model's own grid stays where it is
        with rasterio.open(source) as raster:
            pixels = raster.read(window=((shift, side), (shift, side)))
            profile = dict(driver='GTiff', dtype=pixels.dtype, crs=raster.crs, transform=raster.transform)
        profile.update(zip(('count', 'height', 'width'), pixels.shape, strict=True))
        with rasterio.open(other, 'w', **profile) as raster:
            raster.write(pixels)
        maps = []
        for file in (source, other):
            options = dict(window=window, overlap=overlap, batch_size=args.batch_size, overwrite=True)
            segment_raster(file, dst, segmenter, **options)
            with rasterio.open(dst) as raster:
                maps.append(raster.read(1))
        maps[0] = maps[0][shift:, shift:]
        axes = Axis(side, window, stride), Axis(side - shift, window, stride)
        # where windows that follow one another count alike
        middles = [
            {(one + other + window) // 2 - moved for one, other in pairwise(axis.starts)}
            for axis, moved in zip(axes, (shift, 0), strict=True)
        ]
        name = f'overlap {overlap} of {window} px'
        figures[f'{name}: borders'], ratio, error = changes(maps, middles, classes)
        figures[f'{name}: largest change, times that of the other map'] = ratio
        figures[f'{name}: standard error of that'] = error
    return figures


def processes(args: argparse.Namespace, folder: Path) -> dict:
    """Two processes of one thread each over one process of one thread, in turns; start-up is left out."""
    source = tile(args.images, folder, args.height, args.width)
    seconds = {}
    for count in (1, 2, 1, 2):
        dst = folder / f'{count}.tif'
        process = start(args, source, dst, count)
        output = process.communicate()[0]
        if process.returncode:
            raise SystemExit(output)
        line = next(line for line in output.splitlines() if line.startswith('strips: '))
        seconds[count] = min(seconds.get(count, float('inf')), float(line.split()[1]))
        if count == 2 and dst.read_bytes() != (folder / '1.tif').read_bytes():
            raise SystemExit('two processes gave other bytes than one')
    return {
        'one process of one thread, s': seconds[1],
        'two processes of one thread, s': seconds[2],
        'times as fast': seconds[1] / seconds[2],
    }


def start(
    args: argparse.Namespace, source: Path, dst: Path, processes: int | None = None
) -> subprocess.Popen:
    command = [sys.executable]
    if processes:
        command += ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', processes]
    command += [TOOL, args.config, args.checkpoint, source, dst, '--overwrite', '--device', 'cpu']
    for name in ('window', 'overlap', 'batch_size'):
        if getattr(args, name) is not None:
            command += [f'--{name.replace("_", "-")}', getattr(args, name)]
    environment = dict(os.environ, **({'OMP_NUM_THREADS': '1'} if processes else {}))
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def tile(images: Path, folder: Path, height: int, width: int, name: str = 'mosaic.vrt') -> Path:
    """A virtual raster of images side by side, again and again, in UTM 40N with pixels of 0.5 m."""
    found = sorted(path for path in images.rglob('*') if path.suffix.lower() in ('.jpg', '.png', '.tif'))
    placed, index, top = [], 0, 0
    while top < height:
        left, tallest = 0, None
        while left < width:
            path = found[index % len(found)].resolve()
            with rasterio.open(path) as image:
                virtual = VirtualRaster(image.height, image.width, [])
            x, y = (
                corner + sign * 0.5 * n
                for corner, sign, n in zip(CORNER, (1, -1), (left, top), strict=True)
            )
            placed.append(georeferenced(path, folder / f'{name}.{len(placed)}.vrt', x, y))
            left += virtual.width
            tallest = min(tallest or virtual.height, virtual.height)  # later rows hide what is longer
            index += 1
        top += tallest
    virtual = mosaic([str(path) for path in placed])
    virtual.height, virtual.width = height, width
    path = folder / name
    path.write_text(virtual.to_xml())
    return path


def georeferenced(image: Path, path: Path, x: float, y: float) -> Path:
    """A virtual raster of an image, with a place."""
    from rsmamba_mm.apis.geo.mosaic import stack

    virtual = stack([str(image)])
    for band, colour in zip(virtual.bands, ('Red', 'Green', 'Blue'), strict=False):
        band.colour = colour
    virtual.wkt, virtual.transform = rasterio.CRS.from_epsg(32640).to_wkt(), Affine(0.5, 0, x, 0, -0.5, y)
    path.write_text(virtual.to_xml(), encoding='utf-8')
    return path


def sizes(segmenter: LandCoverSegmenter, args: argparse.Namespace) -> tuple[int, int]:
    from rsmamba_mm.apis.geo.options import RasterOptions
    from rsmamba_mm.apis.geo.segment import window_and_stride

    return window_and_stride(segmenter, RasterOptions(window=args.window, overlap=args.overlap))


def miou(labels: np.ndarray, truth: np.ndarray, classes: int) -> float:
    """Mean of the classes that are there, in %; other labels in the truth are ignored."""
    known = truth < classes
    pairs = np.bincount(truth[known].astype(int) * classes + labels[known], minlength=classes**2)
    pairs = pairs.reshape(classes, classes)
    union = pairs.sum(0) + pairs.sum(1) - pairs.diagonal()
    present = pairs.sum(1) > 0
    return float(100 * (pairs.diagonal()[present] / union[present]).mean())


def changes(
    maps: Sequence[np.ndarray], places: Sequence[set[int]], classes: int
) -> tuple[int, float, float]:
    """How much more a class's share changes where windows meet than where they do not.

    Args:
        maps (Sequence[np.ndarray]): Two maps of one place, ``(H, W)``.
        places (Sequence[set[int]]): Rows and columns where windows meet in each.
        classes (int): Number of the classes.

    Returns:
        tuple[int, float, float]: Number of places; the mean change across them over that across the same
        places in the other map, of the class that covers a hundredth and has the largest; and the standard
        error of that over the places.

    Raises:
        SystemExit: If windows meet at the same places in both.
    """
    own, foreign = [], []
    for turned in (False, True):
        both = [labels.T if turned else labels for labels in maps]
        for index in (0, 1):
            far = both[0].shape[1] - BLOCK[1]
            there = [p for p in places[index] - places[1 - index] if BLOCK[1] <= p <= far]
            own += [change(both[index], place, classes) for place in there]
            foreign += [change(both[1 - index], place, classes) for place in there]
    if len(own) < 2:
        raise SystemExit('windows meet at the same places: take a larger area or another overlap')
    ours, theirs = np.array(own), np.array(foreign)
    total = np.maximum(theirs.sum(0), 1e-12)
    ratios = ours.sum(0) / total
    errors = (ours - ratios * theirs).std(0, ddof=1) * len(ours) ** 0.5 / total
    large = [value for value in range(classes) if (maps[0] == value).mean() > 0.01]
    largest = max(large, key=lambda value: ratios[value])
    return len(ours), float(ratios[largest]), float(errors[largest])


def change(labels: np.ndarray, column: int, classes: int) -> np.ndarray:
    """Mean difference of each class's share between blocks to the left and to the right of a column."""
    along, across = BLOCK
    height = labels.shape[0] // along * along
    left, right = (
        labels[:height, start : start + across].reshape(-1, along * across)
        for start in (column - across, column)
    )
    shares = [np.abs((left == v).mean(1) - (right == v).mean(1)).mean() for v in range(classes)]
    return np.array(shares)


def clocks() -> dict[str, float]:
    return dict(wall=time.perf_counter(), cpu=time.process_time())


def resident(pid: int) -> int:
    """Highest resident memory of a process, in kB (Linux)."""
    try:
        lines = Path(f'/proc/{pid}/status').read_text(encoding='utf-8').splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith('VmHWM')), 0)


if __name__ == '__main__':
    torch.manual_seed(0)
    main()
