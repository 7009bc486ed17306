"""Models as graphs that other runtimes run: ONNX, OpenVINO, torch.export, what maps rasters, STAC."""

from .check import ExportReport
from .formats import MAPPERS
from .graph import ExportedModel
from .model import FORMATS, export_model

__all__ = ['FORMATS', 'MAPPERS', 'ExportReport', 'ExportedModel', 'export_model']
