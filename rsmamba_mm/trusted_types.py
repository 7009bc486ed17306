"""What PyTorch's safe loader may rebuild beside tensors: the numbers and logs in MMEngine's checkpoints.

None of NumPy's own functions is listed. Their stand-ins take arrays of plain numbers alone: what NumPy
makes of a forged data type can reach memory that is not its own.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch

_PLAIN = re.compile(r'[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)')
_UNCHANGED = (None, None, None, -1, -1, 0)  # what the state of a plain data type says beside its byte order


def allow_types() -> None:
    """Let PyTorch's safe loader read what MMEngine writes in a checkpoint.

    Since PyTorch 2.6 ``torch.load`` rebuilds listed types only, and MMEngine does not list its own:
    resuming fails in upstream, and ``publish_model`` in both stacks. Older releases cannot list types by
    name: there such files are refused. NumPy's functions have another name in files of NumPy 1.
    """
    from mmengine.logging import HistoryBuffer

    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        return
    torch.serialization.add_safe_globals(
        [
            (HistoryBuffer, f'{HistoryBuffer.__module__}.{HistoryBuffer.__name__}'),
            (_statistic, 'builtins.getattr'),
            (_slice, 'builtins.slice'),
            (_Numbers, 'numpy.ndarray'),
            (_DataType, 'numpy.dtype'),
            *((_array, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )


def _slice(*args: int | None) -> slice:
    if not all(each is None or isinstance(each, int) for each in args):
        raise ValueError('A checkpoint must not have a slice of what is no number.')
    return slice(*args)


def _statistic(owner: type, name: str) -> Any:
    """What a checkpoint may have of ``getattr``: the statistics that a HistoryBuffer refers to."""
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise ValueError(f'Trying to get {name!r} of {owner!r}, which a checkpoint must not')


class _DataType:
    """A data type of plain numbers, in the place of ``numpy.dtype``."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not _PLAIN.fullmatch(code):
            raise ValueError(f'Trying to make an array of {code!r}: a checkpoint has plain numbers alone')
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if not isinstance(state, tuple) or state[2:8] != _UNCHANGED or state[1] not in ('<', '>', '|', '='):
            raise ValueError(f'Trying to change a data type to {state!r}, which a checkpoint must not')
        self.value = self.value.newbyteorder(state[1])


class _Numbers(np.ndarray):
    """An array of plain numbers, in the place of ``numpy.ndarray``; saved again it is NumPy's."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, raw = state
        numbers = type(kind) is _DataType and type(raw) is bytes and all(type(n) is int for n in shape)
        if not numbers or min(shape, default=0) < 0 or math.prod(shape) * kind.value.itemsize != len(raw):
            raise ValueError('Trying to make an array of what are no plain numbers')
        super().__setstate__((1, shape, kind.value, bool(fortran), raw))

    def __reduce_ex__(self, protocol: int) -> tuple:
        return np.array(self, subok=False).__reduce_ex__(protocol)

    def __reduce__(self) -> tuple:
        return np.array(self, subok=False).__reduce__()


def _array(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    if kind is not _Numbers or shape != (0,):
        raise ValueError('Trying to make an array that NumPy does not write so')
    return np.ndarray.__new__(_Numbers, (0,), 'u1')


def _scalar(kind: _DataType, raw: bytes) -> np.generic:
    if type(kind) is not _DataType or type(raw) is not bytes or len(raw) != kind.value.itemsize:
        raise ValueError('Trying to make a number of what is none')
    return np.frombuffer(raw, kind.value)[0]
