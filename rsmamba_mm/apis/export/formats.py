"""Kinds of files for other runtimes: how each is written, and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...errors import MissingExtraError
from .graph import ExportedModel

# the ONNX Runtime of Deepness, 1.17, knows no later one
IR_VERSION = 9
OPSET = 18
FOLDED = 2**31  # constants of any size: by default those of longer sequences are left to each run


@dataclass(frozen=True)
class Description:
    """What a file says of its graph.

    Attributes:
        graph (ExportedModel): The model.
        input_shape (tuple[int, ...]): ``(B, C, H, W)``, -1 for any.
        output_shape (tuple[int, ...]): Likewise.
        classes (tuple[str, ...]): Their names; may be none.
        bands (tuple[str, ...]): Names of the channels; may be none.
        properties (dict[str, Any]): Kept in ONNX's metadata, as JSON.
    """

    graph: ExportedModel
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    properties: dict[str, Any] = field(default_factory=dict)


class Format(NamedTuple):
    """How a kind of graph is written and run.

    Attributes:
        suffix (str): Of its file.
        runtime (str): What runs it.
        write (Callable): Takes the traced graph, the file and what is to be said; may write beside it.
        load (Callable): Takes the file; gives a function of images ``(B, C, H, W)``.
        options (tuple[str, ...]): What else of :func:`export_model` it heeds.
    """

    suffix: str
    runtime: str
    write: Callable[[Any, Path, Description], None]
    load: Callable[[Path], Callable[[np.ndarray], np.ndarray]]
    options: tuple[str, ...] = ('normalize', 'softmax', 'any_size')


def library(name: str) -> Any:
    """A library of the extra.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f'export needs {name} ({error}): pip install "rsmamba_mm[export]"'
        ) from error


def write_torch(program: Any, out: Path, about: Description) -> None:
    """A PT2 archive."""
    torch.export.save(program, out)


def run_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A PT2 archive's graph, by PyTorch."""
    module = torch.export.load(path).module()

    @torch.no_grad()
    def call(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).numpy()

    return call


def _write_onnx(program: Any, out: Path, about: Description) -> None:
    for name in ('onnx', 'onnxscript'):
        library(name)
    from onnxscript import optimizer

    written = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
    assert written is not None
    optimizer.optimize(written.model, input_size_limit=FOLDED, output_size_limit=FOLDED)
    model = written.model_proto
    if 'model_type' in about.properties:
        model.ir_version = IR_VERSION
    for key, value in about.properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    out.write_bytes(model.SerializeToString())


def _run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    session = library('onnxruntime').InferenceSession(str(path), providers=['CPUExecutionProvider'])
    (source,) = session.get_inputs()
    return lambda images: session.run(None, {source.name: images})[0]


def _write_openvino(program: Any, out: Path, about: Description) -> None:
    openvino = library('openvino')
    between = out.with_suffix('.onnx')
    _write_onnx(program, between, about)
    openvino.save_model(openvino.convert_model(between), out, compress_to_fp16=False)
    between.unlink()


def _run_openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    # its default on processors that have bfloat16 is bfloat16
    exact = {'INFERENCE_PRECISION_HINT': 'f32'}
    model = library('openvino').Core().compile_model(str(path), 'CPU', exact)
    return lambda images: model(images)[0]


_ONNX = Format('.onnx', 'ONNX Runtime', _write_onnx, _run_onnx)
_MAPPER = _ONNX._replace(options=('resolution', 'overlap'))
MAPPERS = {'deepness': _MAPPER, 'geodeep': _MAPPER}  # map rasters by a file that says itself what it is
GRAPHS = {
    'onnx': _ONNX,
    'openvino': Format('.xml', 'OpenVINO', _write_openvino, _run_openvino),
    'torch': Format('.pt2', 'torch.export', write_torch, run_torch),
}
