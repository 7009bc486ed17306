"""What the command lines and a Python user call."""

from ..errors import OptionError
from .runner import (
    add_test_arguments,
    add_train_arguments,
    prepare_test,
    prepare_train,
)

__all__ = [
    'OptionError',
    'add_test_arguments',
    'add_train_arguments',
    'prepare_test',
    'prepare_train',
]
