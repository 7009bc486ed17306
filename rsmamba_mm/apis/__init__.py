"""What the command lines and a Python user call."""

from importlib import import_module

from .. import _openmmlab  # noqa: F401 - cures come first
from ..command_line import (
    add_folder_arguments,
    add_inference_arguments,
    add_raster_arguments,
    add_test_arguments,
    add_train_arguments,
)
from ..errors import OptionError
from ..zoo import zoo_models
from .faults import explained_faults
from .folders import FolderSummary, classify_folder
from .gates import PathGates, gates_of, record_gates
from .inference import ImagePredictor, predict_images
from .mistakes import JudgedImage, judge_images
from .predictors import LandCoverSegmenter, SceneClassifier
from .publishing import load_pretrained, publish_model
from .receptive_field import effective_receptive_field, field_sides
from .results import ImagePrediction, LandCoverPrediction, ScenePrediction
from .runner import prepare_test, prepare_train

# public name -> the module that defines it, which needs the extra `geo`
_GEO = {
    'RasterOptions': 'options',
    'RasterResult': 'runs',
    'classify_raster': 'classify',
    'segment_raster': 'segment',
}

__all__ = [
    'FolderSummary',
    'ImagePrediction',
    'ImagePredictor',
    'JudgedImage',
    'LandCoverPrediction',
    'LandCoverSegmenter',
    'OptionError',
    'PathGates',
    'SceneClassifier',
    'ScenePrediction',
    'add_folder_arguments',
    'add_inference_arguments',
    'add_raster_arguments',
    'add_test_arguments',
    'add_train_arguments',
    'classify_folder',
    'effective_receptive_field',
    'explained_faults',
    'field_sides',
    'gates_of',
    'judge_images',
    'load_pretrained',
    'predict_images',
    'prepare_test',
    'prepare_train',
    'publish_model',
    'record_gates',
    'zoo_models',
]


def __getattr__(name: str):
    if name in _GEO:
        return getattr(import_module(f'{__name__}.geo.{_GEO[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
