"""Calls in processes that may hang or die without harm to the caller."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

TIMEOUT, DIED = 'timeout', 'died'


@dataclass
class Lost:
    """A call that gave nothing: its process took too long, or died."""

    reason: str


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    item: int | None = None
    start: float = 0.0


def call_in_processes(
    function: Callable[[int], Any], items: Sequence[int], workers: int, timeout: float
) -> Iterator[tuple[int, Any]]:
    """Call a function of each item in worker processes, which are forked.

    Args:
        function (Callable): Of one item.
        items (Sequence[int]): The items.
        workers (int): Number of processes.
        timeout (float): Seconds that one call may take; then its process is killed.

    Yields:
        tuple[int, Any]: An item, and what the function gave of it or :class:`Lost`; as they come.
    """
    context: Any = multiprocessing.get_context('fork')  # it inherits the data set

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        process.start()
        theirs.close()  # the end of the process is the end of the pipe
        return _Worker(process, ours)

    queue = iter(items)
    pool = [start() for _ in range(max(1, min(workers, len(items))))]
    try:
        while True:
            for place, worker in enumerate(pool):
                if worker.item is None and (item := next(queue, None)) is not None:
                    if not worker.process.is_alive():
                        worker = pool[place] = start()
                    worker.item, worker.start = item, time.monotonic()
                    worker.pipe.send(item)
            busy = [worker for worker in pool if worker.item is not None]
            if not busy:
                return
            oldest = min(worker.start for worker in busy)
            ready = wait([w.pipe for w in busy], max(0.0, oldest + timeout - time.monotonic()))
            for worker in busy:
                if worker.pipe in ready:
                    try:
                        result = worker.pipe.recv()
                    except EOFError:
                        result = Lost(DIED)
                        worker.process.join()
                elif time.monotonic() - worker.start >= timeout:
                    result = Lost(TIMEOUT)
                    worker.process.kill()
                    worker.process.join()
                else:
                    continue
                item, worker.item = worker.item, None
                yield item, result  # type: ignore[misc]
    finally:
        for worker in pool:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _serve(function: Callable[[int], Any], pipe: Connection) -> None:
    """A worker: what libraries say of broken files is not for the person's eyes."""
    warnings.simplefilter('ignore')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        pipe.send(function(item))
