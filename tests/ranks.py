"""Processes of one gloo group, forked from this one, which has imported all already."""

import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

needs_fork = pytest.mark.skipif(
    not hasattr(os, 'fork') or torch.cuda.is_available(), reason='processes are forked, and talk by gloo'
)


def free_port() -> str:
    """One that nobody listens on now."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def start(function: Callable[[int], object], folder: Path, world: int = 2) -> list[int]:
    """Call a function of the rank in each of some processes; their ids.

    The environment is as torchrun leaves it. What a function returns is written to ``folder/RANK.pt``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, children = free_port(), []
    for rank in range(world):
        child = os.fork()
        if child:
            children.append(child)
            continue
        try:
            place = dict(
                RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=world, MASTER_ADDR='127.0.0.1', MASTER_PORT=port
            )
            os.environ.update({name: str(value) for name, value in place.items()})
            torch.save(function(rank), folder / f'{rank}.pt')
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return children


def wait(children: list[int]) -> list[int]:
    """The exit codes of processes; of one that a signal ended its number, below 0."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def call(function: Callable[[int], object], folder: Path, world: int = 2) -> list:
    """What a function returns in each of some processes."""
    assert wait(start(function, folder, world)) == [0] * world
    return [torch.load(folder / f'{rank}.pt', weights_only=False) for rank in range(world)]


def killed(function: Callable[[int], object], folder: Path, seconds: float, world: int = 2) -> bool:
    """Whether processes were killed, all at once, before they had ended by themselves."""
    children = start(function, folder, world)
    time.sleep(seconds)
    for child in children:
        os.kill(child, signal.SIGKILL)
    codes = wait(children)
    assert set(codes) <= {0, -signal.SIGKILL}, codes
    return any(codes)
