"""One call: a model becomes a file, and the file is run and compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import OptionError
from .check import ExportReport, check, check_prediction, fastest
from .formats import GRAPHS, MAPPERS, Description
from .graph import SMALLEST, ExportedModel, trace
from .mappers import mapper_properties
from .stac import STAC

FORMATS = {**GRAPHS, **MAPPERS, 'stac': STAC}


def export_model(
    model: nn.Module,
    out: str | Path,
    target: str,
    images: Tensor,
    classes: Sequence[str] = (),
    *,
    normalize: bool = False,
    softmax: bool = False,
    any_size: bool = False,
    resolution: float | None = None,
    overlap: float | None = None,
    bands: Sequence[str] = (),
) -> ExportReport:
    """Write a model as a graph, and check it in the runtime that it is for.

    Each mixer's scan is one node along all its orders (ONNX ``Scan``), so that the graph does not grow with
    the image. The batch is dynamic; the size of the images is that of ``images``, as the scan orders are
    constants of the graph. The file appears under its name once it has been checked: until then an earlier
    one stays as it is.

    Args:
        model (nn.Module): Classifier or segmenter, on the CPU.
        out (str | Path): File to write, with the suffix of the format.
        target (str): ``'onnx'``, ``'openvino'`` or ``'torch'``; ``'stac'`` for an item of the extension
            MLM 1.6 beside a PT2 archive; ``'deepness'`` or ``'geodeep'`` for an ONNX file that these map
            rasters by: for one square image, with probabilities, and metadata that tell the classes, the
            ground resolution and the overlap of tiles.
        images (Tensor): ``(B, C, H, W)`` to check with, normalised; at least two.
        classes (Sequence[str]): Names of the classes, which the file keeps. Defaults to none.
        normalize (bool): As of :class:`ExportedModel`. Defaults to False.
        softmax (bool): As of :class:`ExportedModel`. Defaults to False.
        any_size (bool): Whether the graph is for images of any size, from 64 px. Defaults to False.
        resolution (float, optional): Ground length of a pixel in cm, for Deepness and GeoDeep, which need
            it: rasters are brought to it. Defaults to None.
        overlap (float, optional): Of their tiles, in per cent. Defaults to None, 25.
        bands (Sequence[str]): Names of the channels, for STAC. Defaults to none.

    Returns:
        ExportReport: How exact and how fast it is.

    Raises:
        OptionError: If an option does not fit.
        MissingExtraError: If the libraries of the format are not installed.
        OutputError: If the graph does not give what the model gives, within 1e-4 of a standard deviation,
            or ten times the model's own error of rounding and no more than 1e-2.
    """
    out = _checked(out, target)
    _heeded(
        target,
        normalize=normalize,
        softmax=softmax,
        any_size=any_size,
        resolution=resolution is not None,
        overlap=overlap is not None,
        bands=bool(bands),
    )
    if not hasattr(torch.compiler, 'is_exporting'):
        raise OptionError(f'export: needs PyTorch 2.7 or later, this is {torch.__version__}')
    if images.ndim != 4 or len(images) < 2:
        raise OptionError(f'export: needs a batch of two images or more, got {tuple(images.shape)}')
    if any_size and min(images.shape[-2:]) < SMALLEST:
        raise OptionError(f'export for any size: images of {SMALLEST} px or more are to check it')
    if bands and len(bands) != images.shape[1]:
        raise OptionError(f'export: {len(bands)} names of bands for {images.shape[1]} channels')
    properties: dict[str, Any] = {'class_names': dict(enumerate(classes))}
    options = dict(normalize=normalize, softmax=softmax)
    maps = target in MAPPERS
    if maps:
        properties |= mapper_properties(model, target, images, classes, resolution, overlap)
        options = dict(softmax=True, as_map=True, normalize=target == 'geodeep', unit=True)
    graph = ExportedModel(model.eval(), **options).eval()
    kind, fed = FORMATS[target], graph.fed(images)
    out.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        scores = graph(fed)  # also makes the scan orders, which become constants of the graph
        check_prediction(graph, fed)
        own = fastest(lambda: graph(fed[:1]))  # before another runtime's threads are there
        program = trace(graph, fed, not maps, any_size)
        about = Description(
            graph,
            _shape(fed, not maps, any_size),
            _shape(scores, not maps, any_size),
            tuple(classes),
            tuple(bands),
            properties,
        )
        with TemporaryDirectory(prefix='.export-', dir=out.parent) as folder:
            written = Path(folder) / out.name
            kind.write(program, written, about)
            call = kind.load(written)
            batches = [fed[:1]] if maps else [fed[:1], fed]  # not that of the trace alone
            if any_size:
                batches.insert(0, fed[..., 5:, 9:])
            difference, rounding = check(graph, call, batches, out)
            seconds = fastest(lambda: call(fed[:1].numpy()))
            # the file itself last: what it points to is there when it appears
            for path in sorted(Path(folder).iterdir(), key=lambda path: path == written):
                os.replace(path, out.parent / path.name)
    return ExportReport(out, kind.runtime, difference, rounding, seconds, own)


def _checked(out: str | Path, target: str) -> Path:
    if target not in FORMATS:
        raise OptionError(f'export: for {", ".join(FORMATS)}, got {target!r}')
    out = Path(out)
    suffix = FORMATS[target].suffix
    if out.suffix != suffix:
        raise OptionError(f'export: a file for {target} ends in {suffix}, got {out.name}')
    return out


def _heeded(target: str, **given: bool) -> None:
    """Refuse what the format would not heed."""
    heeds = FORMATS[target].options
    idle = [name for name, value in given.items() if value and name not in heeds]
    if idle:
        raise OptionError(
            f'export for {target}: has no use for {", ".join(idle)}; its options are {", ".join(heeds)}'
        )


def _shape(tensor: Tensor, any_batch: bool, any_size: bool) -> tuple[int, ...]:
    """With -1 for what may be any."""
    channels, *sides = tensor.shape[1:]
    return (-1 if any_batch else 1, channels, *(-1 if any_size else side for side in sides))
