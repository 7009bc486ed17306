"""Rows of windows, read from a raster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .aoi import Area
from .grid import Grid
from .sources import Reader, Source


class Block(NamedTuple):
    """The pixels that a row of windows sees.

    Attributes:
        pixels (np.ma.MaskedArray): ``(bands, H, W)``; mirrored beyond the edge of a raster that is smaller
            than a window.
        valid (np.ndarray): Which of them are to be mapped, ``(H, W)`` bool: inside of the area, with data
            in at least one band.
    """

    pixels: np.ma.MaskedArray
    valid: np.ndarray


@dataclass
class Blocks:
    """Reads a source.

    Args:
        source (Source): What to read.
        bands (Sequence[int]): Which bands, from 1.
        area (Area, optional): Where. Defaults to None, everywhere.
    """

    source: Source
    bands: Sequence[int]
    area: Area | None = None

    def __call__(
        self, grid: Grid, places: Sequence[tuple[int, int]]
    ) -> Generator[Block | None, None, None]:
        """The blocks of panels and rows; None where nothing is to be mapped."""
        with self.source.reader(self.bands) as reader:
            for panel, row in places:
                top = grid.rows.starts[row]
                yield self.read(reader, (top, top + grid.rows.window), grid.extent(panel))

    def read(self, reader: Reader, rows: tuple[int, int], columns: tuple[int, int]) -> Block | None:
        """A block; rows and columns from and to, at least 1 pixel of which lies in the raster."""
        inside = tuple(
            (max(0, begin), min(end, length))
            for (begin, end), length in zip(
                (rows, columns), (self.source.height, self.source.width), strict=True
            )
        )
        area = None
        if self.area is not None:
            area = self.area.mask(self.source.transform, *inside)
            if not area.any():
                return None
        pixels = reader.read(*inside)
        valid = np.asarray(~pixels.mask.all(axis=0))
        if area is not None:
            valid &= area
        beyond = [(i[0] - o[0], o[1] - i[1]) for i, o in zip(inside, (rows, columns), strict=True)]
        if any(map(any, beyond)):
            pad = [(0, 0), *beyond]
            pixels = np.ma.MaskedArray(
                np.pad(pixels.data, pad, 'symmetric'), np.pad(pixels.mask, pad, 'symmetric')
            )
            valid = np.pad(valid, beyond)
        return Block(pixels, valid)
