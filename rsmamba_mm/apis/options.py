"""The options of the command lines are in :mod:`rsmamba_mm.command_line`, which imports nothing heavy."""

from ..command_line import (
    AllowPickle,
    add_config_arguments,
    add_folder_arguments,
    add_inference_arguments,
    add_pickle_argument,
    add_raster_arguments,
    add_test_arguments,
    add_train_arguments,
    completed,
)

__all__ = [
    'AllowPickle',
    'add_config_arguments',
    'add_folder_arguments',
    'add_inference_arguments',
    'add_pickle_argument',
    'add_raster_arguments',
    'add_test_arguments',
    'add_train_arguments',
    'completed',
]
