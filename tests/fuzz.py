"""Random cases: drawn by Hypothesis, in blocks that an interrupted run does not do again."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from reliability import Tally
from torch import Tensor

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
SECONDS = 30  # that a case may take, at most, on a machine that is busy
SETTINGS = settings(
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)


def explore(
    tally: Tally, cases: st.SearchStrategy, check: Callable, count: int, blocks: tuple[int, int, int]
) -> int:
    """Check random cases, the same for the same block; a failing one is made small, and printed.

    Args:
        tally (Tally): Whose blocks are done.
        cases (SearchStrategy): What they are drawn from.
        check (Callable): Takes a case; must not take longer than :data:`SECONDS`.
        count (int): Cases of a block.
        blocks (tuple[int, int, int]): How many at each level.

    Returns:
        int: How many cases there were, those of an earlier call included.
    """
    for block in tally.blocks(*blocks):
        done = 0

        @seed(block)
        @settings(SETTINGS, max_examples=count)
        @given(cases)
        def run(case) -> None:
            nonlocal done
            with at_most(SECONDS):
                check(case)
            done += 1

        run()
        assert done >= count
    return tally.times(*blocks) * count


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Interrupt what hangs; for the main thread."""

    def stop(*_) -> None:
        raise AssertionError(f'not done after {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def laid_out(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> Tensor:
    """Random numbers, with the strides of a layout."""
    if layout == 'channels last':
        return torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
    if layout == 'turned':
        return torch.randn(*shape[:-2], shape[-1], shape[-2], dtype=dtype).mT
    if layout == 'sliced':
        return torch.randn(*shape[:-1], 2 * shape[-1] + 1, dtype=dtype)[..., 1::2]
    if layout == 'expanded':
        return torch.randn(1, *shape[1:], dtype=dtype).expand(shape)
    return torch.randn(shape, dtype=dtype)
