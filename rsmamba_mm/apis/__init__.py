"""What the command lines and a Python user call."""

from .. import _openmmlab  # noqa: F401 - cures come first
from ..errors import OptionError
from .folders import FolderSummary, classify_folder
from .inference import ImagePrediction, ImagePredictor, predict_images
from .options import (
    add_folder_arguments,
    add_inference_arguments,
    add_test_arguments,
    add_train_arguments,
)
from .runner import prepare_test, prepare_train

__all__ = [
    'FolderSummary',
    'ImagePrediction',
    'ImagePredictor',
    'OptionError',
    'add_folder_arguments',
    'add_inference_arguments',
    'add_test_arguments',
    'add_train_arguments',
    'classify_folder',
    'predict_images',
    'prepare_test',
    'prepare_train',
]
