"""What the command lines and a Python user call."""

from .. import _openmmlab  # noqa: F401 - cures come first
from ..errors import OptionError
from .gates import PathGates, record_gates
from .inference import ImagePrediction, ImagePredictor, predict_images
from .options import add_inference_arguments, add_test_arguments, add_train_arguments
from .runner import prepare_test, prepare_train

__all__ = [
    'ImagePrediction',
    'ImagePredictor',
    'OptionError',
    'PathGates',
    'add_inference_arguments',
    'add_test_arguments',
    'add_train_arguments',
    'predict_images',
    'prepare_test',
    'prepare_train',
    'record_gates',
]
