"""Models as graphs that other runtimes run: ONNX, OpenVINO, torch.export."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import MissingExtraError, OptionError, OutputError
from ..ops import use_backend

FORMATS = {'onnx': '.onnx', 'openvino': '.xml', 'torch': '.pt2'}
OPSET = 18
ROUNDING = 10  # over the model's own error in float32: other runtimes add up in another order
TOLERANCE = 1e-4  # largest difference over the standard deviation of the outputs


class ExportedModel(nn.Module):
    """A classifier or segmenter from pixels to scores.

    Args:
        model (nn.Module): Of mmpretrain or mmseg, in evaluation mode.
        normalize (bool): Whether the graph normalises: it then takes values from 0 to 255, of colour
            images in the order red, green, blue. Defaults to False, the input is normalised.
        softmax (bool): Whether it gives probabilities instead of logits. Defaults to False.
    """

    def __init__(self, model: Any, normalize: bool = False, softmax: bool = False) -> None:
        super().__init__()
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
        x = (images - self.mean) / self.std if self.normalize else images
        if hasattr(self.model, 'decode_head'):
            y = self.model(x, None, mode='tensor')
            if y.shape[-2:] != x.shape[-2:]:
                align = self.model.decode_head.align_corners
                y = nn.functional.interpolate(y, x.shape[-2:], mode='bilinear', align_corners=align)
        else:
            y = self.model.head(self.model.backbone(x))
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
) -> ExportReport:
    """Write a model as a graph, and check it in the runtime that it is for.

    Each mixer's scan is one node along all its orders (ONNX ``Scan``), so that the graph does not grow with
    the image. The batch is dynamic; the size of the images is that of ``images``, as the scan orders are
    constants of the graph.

    Args:
        model (nn.Module): Classifier or segmenter, on the CPU.
        out (str | Path): File to write, with the suffix of the format.
        target (str): ``'onnx'``, ``'openvino'`` or ``'torch'``.
        images (Tensor): ``(B, C, H, W)`` to check with, as the graph takes them; at least two.
        classes (Sequence[str]): Names of the classes, kept in ONNX's metadata. Defaults to none.
        normalize (bool): As of :class:`ExportedModel`. Defaults to False.
        softmax (bool): As of :class:`ExportedModel`. Defaults to False.

    Returns:
        ExportReport: How exact and how fast it is.

    Raises:
        OptionError: If an option does not fit.
        MissingExtraError: If the libraries of the format are not installed.
        OutputError: If the graph does not give what the model gives, within 1e-4 of a standard deviation or
            ten times the model's own error of rounding; the file is removed.
    """
    out = _checked(out, target)
    if images.ndim != 4 or len(images) < 2:
        raise OptionError(f'export: needs a batch of two images or more, got {tuple(images.shape)}')
    graph = ExportedModel(model.eval(), normalize, softmax).eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        expected = graph(images)  # also makes the scan orders, which become constants of the graph
        own = _fastest(lambda: graph(images[:1]))  # before another runtime's threads are there
        program = _traced(graph, images)
        write, run = _WRITERS[target], _RUNNERS[target]
        write(program, out, classes)
        call = run(out)
        difference = max(
            float(np.abs(call(images[:count].numpy()) - expected[:count].numpy()).max())
            for count in (1, len(images))  # another batch than that of the trace too
        )
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
    return ExportReport(out, _NAMES[target], difference, seconds, own)


def _checked(out: str | Path, target: str) -> Path:
    if target not in FORMATS:
        raise OptionError(f'export: for {", ".join(FORMATS)}, got {target!r}')
    out = Path(out)
    if out.suffix != FORMATS[target]:
        raise OptionError(f'export: a file for {target} ends in {FORMATS[target]}, got {out.name}')
    return out


def _traced(graph: nn.Module, images: Tensor) -> Any:
    """The graph of plain operators, for any batch."""
    torch._dynamo.reset()  # what it learned of other sizes would be held for constants
    batch = torch.export.Dim('batch', min=1, max=4096)
    with use_backend('reference'), _plain_attention():
        return torch.export.export(graph, (images,), dynamic_shapes=({0: batch},))


@contextmanager
def _plain_attention():
    """Attention as the products that it consists of, which every runtime has."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


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


def _write_torch(program: Any, out: Path, classes: Sequence[str]) -> None:
    torch.export.save(program, out)


def _run_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    module = torch.export.load(path).module()

    @torch.no_grad()
    def call(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).numpy()

    return call


def _write_onnx(program: Any, out: Path, classes: Sequence[str]) -> None:
    for name in ('onnx', 'onnxscript'):
        _library(name)
    written = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
    assert written is not None
    model = written.model_proto
    if classes:
        entry = model.metadata_props.add()
        entry.key, entry.value = 'class_names', json.dumps(dict(enumerate(classes)))
    out.write_bytes(model.SerializeToString())


def _run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    session = _library('onnxruntime').InferenceSession(str(path), providers=['CPUExecutionProvider'])
    (source,) = session.get_inputs()
    return lambda images: session.run(None, {source.name: images})[0]


def _write_openvino(program: Any, out: Path, classes: Sequence[str]) -> None:
    openvino = _library('openvino')
    between = out.with_suffix('.tmp.onnx')
    try:
        _write_onnx(program, between, classes)
        openvino.save_model(openvino.convert_model(between), out, compress_to_fp16=False)
    finally:
        between.unlink(missing_ok=True)


def _run_openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    # its default on processors that have bfloat16 is bfloat16
    exact = {'INFERENCE_PRECISION_HINT': 'f32'}
    model = _library('openvino').Core().compile_model(str(path), 'CPU', exact)
    return lambda images: model(images)[0]


_WRITERS = dict(torch=_write_torch, onnx=_write_onnx, openvino=_write_openvino)
_RUNNERS = dict(torch=_run_torch, onnx=_run_onnx, openvino=_run_openvino)
_NAMES = dict(torch='torch.export', onnx='ONNX Runtime', openvino='OpenVINO')
