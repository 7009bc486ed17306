"""Windows over a raster, and the strips of the result that they finish."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...models.windows import fade, window_starts

MULTIPLE = 32  # what the strides of a segmenter multiply to


class Axis:
    """Windows along one side of a raster, each of which counts less toward its edges.

    Args:
        length (int): Pixels of the side.
        window (int): Pixels of a window; of a shorter side it is the next multiple of 32 that covers it.
        stride (int): From one window to the next, at most ``window``.

    Attributes:
        starts (list[int]): First pixel of each window, rising.
        fade (np.ndarray): Weights of a window's pixels, ``(window,)`` float32.
        weights (np.ndarray): Sum of the weights of all windows, ``(length,)`` float32.
    """

    def __init__(self, length: int, window: int, stride: int) -> None:
        self.length = length
        self.window = window = min(window, -(-length // MULTIPLE) * MULTIPLE)
        covered = max(length, window)
        self.starts = window_starts(covered, window, min(stride, window))
        self.fade = fade(window).numpy().astype(np.float32)
        self.weights = np.zeros(covered, dtype=np.float32)
        for start in self.starts:
            self.weights[start : start + window] += self.fade

    def __len__(self) -> int:
        return len(self.starts)

    def core(self, first: int, stop: int | None = None) -> tuple[int, int]:
        """Pixels from window ``first`` to window ``stop`` (default: the next), no later one reaching in."""
        stop = first + 1 if stop is None else stop
        return self.starts[first], self.starts[stop] if stop < len(self) else self.length

    def reaching(self, index: int) -> int:
        """The first window that reaches into the core of window ``index``."""
        start = self.starts[index]
        return next(i for i, s in enumerate(self.starts) if s + self.window > start)


class Strip(NamedTuple):
    """Part of a raster that is finished with a row of windows.

    Attributes:
        panel (int): Which of the columns of strips.
        row (int): Which row of windows.
        top, bottom, left, right (int): Its pixels, from and to.
    """

    panel: int
    row: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def name(self) -> str:
        return f'{self.panel:03d}-{self.row:06d}'

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left


class Grid:
    """Rows and columns of windows, and the strips; nothing of it depends on who computes what.

    Args:
        shape (tuple[int, int]): Height and width of the raster.
        window (tuple[int, int]): Height and width of a window.
        stride (tuple[int, int]): From one window to the next.
        columns (int): A strip is about as wide at most, in pixels: what bounds the memory for any raster.
    """

    def __init__(
        self, shape: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], columns: int
    ) -> None:
        self.rows, self.columns = (Axis(*side) for side in zip(shape, window, stride, strict=True))
        parts = min(len(self.columns), -(-shape[1] // columns))
        # windows of each panel: from, to
        edges = np.linspace(0, len(self.columns), parts + 1).round().astype(int).tolist()
        self.panels = list(pairwise(edges))
        self.strips = [
            Strip(panel, row, *self.rows.core(row), *self.columns.core(*windows))
            for panel, windows in enumerate(self.panels)
            for row in range(len(self.rows))
        ]

    def windows(self, panel: int) -> range:
        """The windows of a row that reach into a panel."""
        first, stop = self.panels[panel]
        return range(self.columns.reaching(first), stop)

    def extent(self, panel: int) -> tuple[int, int]:
        """Columns that the windows of a panel see, from and to."""
        windows = self.windows(panel)
        starts = self.columns.starts
        return starts[windows[0]], starts[windows[-1]] + self.columns.window

    def spans(self, strips: list[Strip]) -> list[list[Strip]]:
        """Strips in runs in which each follows on the one before, as far as they do."""
        runs: list[list[Strip]] = []
        for strip in strips:
            last = runs[-1][-1] if runs else None
            if last and (last.panel, last.row + 1) == (strip.panel, strip.row):
                runs[-1].append(strip)
            else:
                runs.append([strip])
        return runs
