"""Land cover by windows that fade into one another, strip after strip."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from ..predictors import LandCoverSegmenter
from .grid import Grid, Strip
from .inputs import Scaling
from .products import missing, quantised
from .reading import Block, Blocks
from .threads import prefetch

ROWS = 64  # of a strip that are finished at a time, to bound the memory


@dataclass
class Segmentation:
    """Computes strips of a map.

    What a strip gets does not depend on the others that are computed beside it: windows go through the
    model in batches of a row, and their logits are added in one order.

    Args:
        segmenter (LandCoverSegmenter): The model.
        blocks (Blocks): What reads the raster.
        grid (Grid): Of its windows.
        scaling (Scaling): Of its values.
        batch_size (int): Windows that go through the model at a time.
        tta (bool): Whether to average over flips and turns.
        probabilities, confidence (str, optional): dtype in which they are kept.
    """

    segmenter: LandCoverSegmenter
    blocks: Blocks
    grid: Grid
    scaling: Scaling
    batch_size: int = 1
    tta: bool = False
    probabilities: str | None = None
    confidence: str | None = None
    windows: int = 0  # computed so far

    def __call__(
        self, strips: Sequence[Strip]
    ) -> Generator[tuple[Strip, dict[str, np.ndarray]], None, None]:
        """The products ``(bands, H, W)`` of each strip."""
        rows = [
            (strip, row, row == strip.row)
            for run in self.grid.spans(list(strips))
            for strip, row in self._rows(run)
        ]
        places = [(strip.panel, row) for strip, row, _ in rows]
        sums, top, panel = None, 0, None
        with closing(prefetch(self.blocks(self.grid, places))) as blocks:
            for (strip, row, finished), block in zip(rows, blocks, strict=True):
                start = self.grid.rows.starts[row]
                if sums is None or panel != strip.panel or not 0 <= start - top < self.grid.rows.window:
                    sums = self._sums(strip.panel)
                else:
                    _shift(sums, start - top)
                top, panel = start, strip.panel
                if block is not None:
                    self._add(sums, block, strip.panel)
                if finished:
                    yield strip, self._finish(sums, block, strip)

    def _rows(self, run: Sequence[Strip]) -> Iterator[tuple[Strip, int]]:
        """Rows of windows for strips that follow one another; those before reach into the first."""
        first = run[0]
        for row in range(self.grid.rows.reaching(first.row), first.row):
            yield first, row
        for strip in run:
            yield strip, strip.row

    def _sums(self, panel: int) -> torch.Tensor:
        left, right = self.grid.extent(panel)
        shape = len(self.segmenter.classes), self.grid.rows.window, right - left
        return torch.zeros(shape, device=self.segmenter.device)

    @torch.inference_mode()
    def _add(self, sums: torch.Tensor, block: Block, panel: int) -> None:
        """Add the logits of a row of windows, weighted."""
        rows, columns = self.grid.rows, self.grid.columns
        weight = torch.from_numpy(rows.fade[:, None] * columns.fade).to(sums.device)
        origin = self.grid.extent(panel)[0]
        lefts = (columns.starts[i] - origin for i in self.grid.windows(panel))
        lefts = (left for left in lefts if block.valid[:, left : left + columns.window].any())
        while batch := list(islice(lefts, self.batch_size)):
            images = [self.scaling(block.pixels[..., left : left + columns.window]) for left in batch]
            for left, logits in zip(batch, self.segmenter.logits(images, self.tta), strict=True):
                sums[..., left : left + columns.window].addcmul_(logits, weight)
            self.windows += len(batch)

    @torch.inference_mode()
    def _finish(self, sums: torch.Tensor, block: Block | None, strip: Strip) -> dict[str, np.ndarray]:
        height, width = strip.shape
        kept = dict(confidence=self.confidence, probabilities=self.probabilities)
        kinds = dict(labels='uint8', **{name: dtype for name, dtype in kept.items() if dtype})
        depths = dict(probabilities=len(self.segmenter.classes))
        out = {
            name: np.full((depths.get(name, 1), height, width), *missing(dtype))
            for name, dtype in kinds.items()
        }
        if block is None or not block.valid.any():
            return out
        shift = strip.left - self.grid.extent(strip.panel)[0]
        columns = slice(shift, shift + width)
        across = torch.from_numpy(self.grid.columns.weights[strip.left : strip.right]).to(sums.device)
        for row in range(0, height, ROWS):
            rows = slice(row, min(row + ROWS, height))
            logits = sums[:, rows, columns]
            # of equals the first; five times as fast as argmax
            arrays = {'labels': logits.max(0).indices.to(torch.uint8).cpu().numpy()[None]}
            if len(kinds) > 1:
                down = self.grid.rows.weights[strip.top + rows.start : strip.top + rows.stop]
                weights = torch.from_numpy(down).to(sums.device)[:, None] * across
                scores = (logits / weights).softmax(0).cpu().numpy()
                arrays.update(confidence=scores.max(0, keepdims=True), probabilities=scores)
            valid = block.valid[rows, columns]
            for name, dtype in kinds.items():
                values = arrays[name] if name == 'labels' else quantised(arrays[name], dtype)
                np.copyto(out[name][:, rows], values, where=valid)
        return out


def _shift(sums: torch.Tensor, rows: int) -> None:
    """Move sums up, class by class to save memory."""
    if rows:
        for plane in sums:
            plane[:-rows] = plane[rows:].clone()
            plane[-rows:] = 0
