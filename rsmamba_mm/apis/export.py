"""Models as graphs that other runtimes run: ONNX, OpenVINO, torch.export."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import MissingExtraError, OptionError, OutputError
from ..ops import use_backend

# the ONNX Runtime of Deepness, 1.17, knows no later one
IR_VERSION = 9
OPSET = 18
ROUNDING = 10  # over the model's own error in float32: other runtimes add up in another order
TOLERANCE = 1e-4  # largest difference over the standard deviation of the outputs


class Format(NamedTuple):
    """How a kind of graph is written and run.

    Attributes:
        suffix (str): Of its files.
        runtime (str): What runs it.
        write (Callable): Takes the traced graph, the file and the metadata.
        load (Callable): Takes the file; gives a function of images ``(B, C, H, W)``.
    """

    suffix: str
    runtime: str
    write: Callable[[Any, Path, dict[str, Any]], None]
    load: Callable[[Path], Callable[[np.ndarray], np.ndarray]]


class ExportedModel(nn.Module):
    """A classifier or segmenter from pixels to scores.

    Args:
        model (nn.Module): Of mmpretrain or mmseg, in evaluation mode.
        normalize (bool): Whether the graph normalises: it then takes values from 0 to 255, of colour
            images in the order red, green, blue. Defaults to False, the input is normalised.
        softmax (bool): Whether it gives probabilities instead of logits. Defaults to False.
        unit (bool): Whether values to normalise are from 0 to 1 instead. Defaults to False.
        as_map (bool): Whether a classifier gives a map too, its scores at each pixel. Defaults to False.
    """

    def __init__(
        self,
        model: Any,
        normalize: bool = False,
        softmax: bool = False,
        unit: bool = False,
        as_map: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.as_map = 255.0 if unit else 1.0, as_map
        self.model, self.softmax = model, softmax
        preprocessor = model.data_preprocessor
        mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
        if normalize and (mean is None or std is None):
            raise OptionError('normalize: the data_preprocessor of the config has no mean and std')
        self.normalize = normalize
        self.mean: Tensor
        self.std: Tensor
        if mean is not None and std is not None:
            self.register_buffer('mean', mean.clone())
            self.register_buffer('std', std.clone())

    def forward(self, images: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, classes)``, or a segmenter's ``(B, classes, H, W)``."""
        x = (images * self.scale - self.mean) / self.std if self.normalize else images
        y = self.model(x, None, mode='tensor')
        if y.ndim == 4 and y.shape[-2:] != x.shape[-2:]:
            align = self.model.decode_head.align_corners
            y = nn.functional.interpolate(y, x.shape[-2:], mode='bilinear', align_corners=align)
        elif y.ndim == 2 and self.as_map:
            y = y[..., None, None].expand(-1, -1, *x.shape[-2:]).contiguous()
        return y.softmax(1) if self.softmax else y


@dataclass
class ExportReport:
    """What an exported graph is like.

    Attributes:
        path (Path): The file.
        runtime (str): What ran it.
        difference (float): Largest difference to the model over the standard deviation of its outputs.
        seconds (float): A batch of one in that runtime, the fastest of three.
        own_seconds (float): The same in PyTorch with the backend that serves here.
    """

    path: Path
    runtime: str
    difference: float
    seconds: float
    own_seconds: float

    def __str__(self) -> str:
        return (
            f'{self.path}: {self.runtime}, largest difference / standard deviation {self.difference:.1e}; '
            f'{1000 * self.seconds:.0f} ms an image, {self.seconds / self.own_seconds:.2f} of PyTorch here '
            f'({1000 * self.own_seconds:.0f} ms)'
        )


def export_model(
    model: nn.Module,
    out: str | Path,
    target: str,
    images: Tensor,
    classes: Sequence[str] = (),
    normalize: bool = False,
    softmax: bool = False,
    resolution: float | None = None,
    overlap: float = 25.0,
) -> ExportReport:
    """Write a model as a graph, and check it in the runtime that it is for.

    Each mixer's scan is one node along all its orders (ONNX ``Scan``), so that the graph does not grow with
    the image. The batch is dynamic; the size of the images is that of ``images``, as the scan orders are
    constants of the graph.

    Args:
        model (nn.Module): Classifier or segmenter, on the CPU.
        out (str | Path): File to write, with the suffix of the format.
        target (str): ``'onnx'``, ``'openvino'`` or ``'torch'``; ``'deepness'`` or ``'geodeep'`` for an ONNX
            file that these map rasters by: for one square image, with probabilities, and metadata that
            tell the classes, the ground resolution and the overlap of tiles.
        images (Tensor): ``(B, C, H, W)`` to check with, as the graph takes them; at least two.
        classes (Sequence[str]): Names of the classes, kept in ONNX's metadata. Defaults to none.
        normalize (bool): As of :class:`ExportedModel`. Defaults to False.
        softmax (bool): As of :class:`ExportedModel`. Defaults to False.
        resolution (float, optional): Ground length of a pixel in cm, for Deepness and GeoDeep, which need
            it: rasters are brought to it. Defaults to None.
        overlap (float): Of their tiles, in per cent. Defaults to 25.

    Returns:
        ExportReport: How exact and how fast it is.

    Raises:
        OptionError: If an option does not fit.
        MissingExtraError: If the libraries of the format are not installed.
        OutputError: If the graph does not give what the model gives, within 1e-4 of a standard deviation or
            ten times the model's own error of rounding; the file is removed.
    """
    out = _checked(out, target)
    if not hasattr(torch.compiler, 'is_exporting'):
        raise OptionError(f'export: needs PyTorch 2.7 or later, this is {torch.__version__}')
    if images.ndim != 4 or len(images) < 2:
        raise OptionError(f'export: needs a batch of two images or more, got {tuple(images.shape)}')
    metadata: dict[str, Any] = {'class_names': dict(enumerate(classes))}
    options = dict(normalize=normalize, softmax=softmax)
    if target in MAPPERS:
        metadata |= _mapper_metadata(model, target, images, classes, resolution, overlap)
        options = dict(softmax=True, as_map=True, normalize=target == 'geodeep', unit=True)
    graph = ExportedModel(model.eval(), **options).eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        expected = graph(images)  # also makes the scan orders, which become constants of the graph
        own = _fastest(lambda: graph(images[:1]))  # before another runtime's threads are there
        program = _traced(graph, images, target not in MAPPERS)
        FORMATS[target].write(program, out, metadata)
        call = FORMATS[target].load(out)
        # another batch than that of the trace too; NumPy's maximum lets no NaN pass
        counts = (1,) if target in MAPPERS else (1, len(images))
        apart = [np.abs(call(images[:n].numpy()) - expected[:n].numpy()).max() for n in counts]
        difference = float(np.max(apart))
    spread = max(float(expected.std()), 1e-12)
    difference /= spread
    # a model that itself is no more exact in float32, as some are before they have learnt, may differ so
    if not (
        difference <= TOLERANCE or difference <= ROUNDING * _rounding(graph, images, expected) / spread
    ):
        out.unlink()
        raise OutputError(
            f'{out} is not written: what it gives differs from the model by {difference:.1e} standard '
            f'deviations, above {TOLERANCE:.0e} and the rounding of the model itself. Please report this '
            'with the config'
        )
    seconds = _fastest(lambda: call(images[:1].numpy()))
    return ExportReport(out, FORMATS[target].runtime, difference, seconds, own)


def _checked(out: str | Path, target: str) -> Path:
    if target not in FORMATS:
        raise OptionError(f'export: for {", ".join(FORMATS)}, got {target!r}')
    out = Path(out)
    suffix = FORMATS[target].suffix
    if out.suffix != suffix:
        raise OptionError(f'export: a file for {target} ends in {suffix}, got {out.name}')
    return out


def _mapper_metadata(
    model: Any,
    target: str,
    images: Tensor,
    classes: Sequence[str],
    resolution: float | None,
    overlap: float,
) -> dict[str, Any]:
    """What Deepness and GeoDeep read in the file."""
    size = images.shape[-1]
    if resolution is None or not resolution > 0:
        raise OptionError(f'export for {target}: needs --resolution, the ground length of a pixel in cm')
    if not 0 <= overlap <= 50:
        raise OptionError(f'export for {target}: tiles overlap by 0 to 50 %, got {overlap}')
    if not classes:
        raise OptionError(f'export for {target}: needs the names of the classes')
    if images.shape[1] != 3 or images.shape[2] != size:
        raise OptionError(
            f'export for {target}: it maps by square images of three bands, got {tuple(images.shape[1:])}'
        )
    mean, std = torch.zeros(3), torch.ones(3)
    if target == 'deepness':  # normalises itself, what it divides by 255
        mean, std = (getattr(model.data_preprocessor, name).flatten() / 255 for name in ('mean', 'std'))
    return dict(
        model_type='Segmentor',
        resolution=resolution,
        tile_size=size,
        tiles_size=size,
        tiles_overlap=overlap,
        standardization_mean=mean.tolist(),
        standardization_std=std.tolist(),
        seg_thresh=0.0,
        seg_small_segment=0,
    )


def _traced(graph: nn.Module, images: Tensor, any_batch: bool) -> Any:
    """The graph of plain operators, for any batch or for one image."""
    torch._dynamo.reset()  # what it learned of other sizes would be held for constants
    sizes = ({0: torch.export.Dim('batch', min=1, max=4096)},) if any_batch else None
    # attention as the products that it consists of, which every runtime has
    with use_backend('reference'), sdpa_kernel(SDPBackend.MATH):
        return torch.export.export(graph, (images if any_batch else images[:1],), dynamic_shapes=sizes)


def _rounding(graph: nn.Module, images: Tensor, expected: Tensor) -> float:
    """The largest error of the model's own outputs, by float64."""
    with torch.no_grad():
        return float((deepcopy(graph).double()(images.double()) - expected).abs().max())


def _fastest(call: Callable[[], Any], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f'export needs {name} ({error}): pip install "rsmamba_mm[export]"'
        ) from error


def _write_torch(program: Any, out: Path, metadata: dict[str, Any]) -> None:
    torch.export.save(program, out)


def _run_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    module = torch.export.load(path).module()

    @torch.no_grad()
    def call(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).numpy()

    return call


def _write_onnx(program: Any, out: Path, metadata: dict[str, Any]) -> None:
    for name in ('onnx', 'onnxscript'):
        _library(name)
    written = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
    assert written is not None
    model = written.model_proto
    if 'model_type' in metadata:
        model.ir_version = IR_VERSION
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    out.write_bytes(model.SerializeToString())


def _run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    session = _library('onnxruntime').InferenceSession(str(path), providers=['CPUExecutionProvider'])
    (source,) = session.get_inputs()
    return lambda images: session.run(None, {source.name: images})[0]


def _write_openvino(program: Any, out: Path, metadata: dict[str, Any]) -> None:
    openvino = _library('openvino')
    between = out.with_suffix('.tmp.onnx')
    try:
        _write_onnx(program, between, metadata)
        openvino.save_model(openvino.convert_model(between), out, compress_to_fp16=False)
    finally:
        between.unlink(missing_ok=True)


def _run_openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    # its default on processors that have bfloat16 is bfloat16
    exact = {'INFERENCE_PRECISION_HINT': 'f32'}
    model = _library('openvino').Core().compile_model(str(path), 'CPU', exact)
    return lambda images: model(images)[0]


FORMATS = {
    'onnx': Format('.onnx', 'ONNX Runtime', _write_onnx, _run_onnx),
    'openvino': Format('.xml', 'OpenVINO', _write_openvino, _run_openvino),
    'torch': Format('.pt2', 'torch.export', _write_torch, _run_torch),
    'deepness': Format('.onnx', 'ONNX Runtime', _write_onnx, _run_onnx),
    'geodeep': Format('.onnx', 'ONNX Runtime', _write_onnx, _run_onnx),
}
MAPPERS = 'deepness', 'geodeep'  # what maps rasters by an ONNX file that says itself what it is
