"""Several processes at one raster, as torchrun starts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

T = TypeVar('T')


class Processes:
    """This process among those of torchrun; alone without it.

    They talk by gloo, whatever the device, and only of what is to do.
    """

    def __init__(self) -> None:
        self.rank, self.size = (
            int(os.environ.get(key, default)) for key, default in (('RANK', 0), ('WORLD_SIZE', 1))
        )
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group('gloo', timeout=timedelta(days=30))
            self._own = True
        else:
            self._own = False

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()

    def agree(self, value: T) -> T:
        """The first process's value, for all."""
        if self.size == 1:
            return value
        values: list[T] = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part, a run of the items."""
        begin, end = (len(items) * rank // self.size for rank in (self.rank, self.rank + 1))
        return list(items[begin:end])

    def close(self) -> None:
        if self._own:
            dist.destroy_process_group()


def local_device(device: str | None) -> str | None:
    """A GPU of its own for each process on a machine, where none is named."""
    import torch

    if device is None and torch.cuda.is_available() and 'LOCAL_RANK' in os.environ:
        return f'cuda:{int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()}'
    return device
