"""A coarse map of land use: the scenes of a grid over a raster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ...errors import OptionError
from ..predictors import SceneClassifier
from .finish import finish
from .grid import Strip
from .inputs import Scaling
from .options import RasterOptions
from .pixels import coarser
from .products import NODATA, missing, quantised
from .reading import Blocks
from .runs import Progress, RasterResult, carry_out, prepare
from .threads import prefetch

WINDOW = 224
SIDES = ('scale', 'crop_size')  # of steps of a test pipeline that say what the model sees


class Cells:
    """Square cells over a raster, and the window around each that the model sees.

    Args:
        shape (tuple[int, int]): Height and width of the raster.
        window (int): Side of a window in pixels, no smaller than a cell.
        cell (int): Side of a cell.

    Attributes:
        shape (tuple[int, int]): Rows and columns of cells; the last ones may stand out.
        strips (list[Strip]): Rows of cells.
    """

    def __init__(self, shape: tuple[int, int], window: int, cell: int) -> None:
        self.pixels, self.window, self.cell = shape, window, cell
        rows, columns = (-(-side // cell) for side in shape)
        self.shape = rows, columns
        self.strips = [Strip(0, row, row, row + 1, 0, columns) for row in range(rows)]

    def start(self, axis: int, index: int) -> int:
        """First pixel of a window: around the middle of its cell, moved inward where it would stand out."""
        start = index * self.cell + (self.cell - self.window) // 2
        return max(0, min(start, self.pixels[axis] - self.window))


@dataclass
class Classification:
    """Computes rows of cells; arguments as :class:`~rsmamba_mm.apis.geo.blend.Segmentation`'s.

    A cell without data in more than half of its pixels gets no class.
    """

    classifier: SceneClassifier
    blocks: Blocks
    cells: Cells
    scaling: Scaling
    batch_size: int = 1
    tta: bool = False
    probabilities: str | None = None
    confidence: str | None = None

    def __call__(
        self, strips: Sequence[Strip]
    ) -> Generator[tuple[Strip, dict[str, np.ndarray]], None, None]:
        """The products ``(bands, 1, cells)`` of each row."""
        with closing(prefetch(self._windows(strips))) as rows:
            for strip, windows in zip(strips, rows, strict=True):
                yield strip, self._classify(windows, strip.shape[1])

    def _windows(self, strips: Sequence[Strip]) -> Generator[list[tuple[int, np.ndarray]], None, None]:
        """The cells of each row that have data, and what the model sees of them."""
        cells = self.cells
        side = cells.window
        with self.blocks.source.reader(self.blocks.bands) as reader:
            for strip in strips:
                top = cells.start(0, strip.row)
                block = self.blocks.read(reader, (top, top + side), (0, max(side, cells.pixels[1])))
                found = []
                for column in range(strip.shape[1]) if block is not None else ():
                    inner = tuple(
                        slice(index * cells.cell - origin, min((index + 1) * cells.cell, length) - origin)
                        for index, origin, length in zip(
                            (strip.row, column), (top, 0), cells.pixels, strict=True
                        )
                    )
                    if block is not None and block.valid[inner].mean() >= 0.5:
                        left = cells.start(1, column)
                        found.append((column, self.scaling(block.pixels[..., left : left + side])))
                yield found

    def _classify(self, windows: list[tuple[int, np.ndarray]], columns: int) -> dict[str, np.ndarray]:
        out = {'labels': np.full((1, 1, columns), NODATA, np.uint8)}
        if self.confidence:
            out['confidence'] = np.full((1, 1, columns), *missing(self.confidence))
        if self.probabilities:
            out['probabilities'] = np.full(
                (len(self.classifier.classes), 1, columns), *missing(self.probabilities)
            )
        waiting = iter(windows)
        while batch := list(islice(waiting, self.batch_size)):
            places = [column for column, _ in batch]
            scores = self.classifier.scores([image for _, image in batch], self.tta).cpu().numpy()
            out['labels'][0, 0, places] = scores.argmax(1)
            if self.confidence:
                out['confidence'][0, 0, places] = quantised(scores.max(1), self.confidence)
            if self.probabilities:
                out['probabilities'][:, 0, places] = quantised(scores, self.probabilities).T
        return out


def classify_raster(
    src: str | Path | Sequence[str | Path],
    dst: str | Path,
    classifier: SceneClassifier,
    progress: Callable[[Progress], None] | None = None,
    tell: Callable[[str], None] | None = None,
    **options,
) -> RasterResult | None:
    """Map the land use of a raster: the class of the scene in each cell of a grid.

    A pixel of the map is a cell: of the side of a window less the overlap. Everything else is as in
    :func:`segment_raster`.

    Args:
        src (str | Path | Sequence): What rasterio opens, a folder or a list of tiles, or a STAC item.
        dst (str | Path): The map, a cloud-optimised GeoTIFF of 8 bits: classes from 0, 255 without data.
        classifier (SceneClassifier): The model.
        progress (Callable, optional): Called with a :class:`Progress` after each row. Defaults to None.
        tell (Callable, optional): Called with lines on what was chosen, before computing. Defaults to None.
        **options: Of :class:`RasterOptions`.

    Returns:
        RasterResult | None: What was written; None in all processes of torchrun but the first.

    Raises:
        OptionError: If an option does not fit.
        MissingDataError: If the raster or the area of interest is not there or is broken.
        OutputError: If the map cannot be written.
    """
    chosen = RasterOptions(**options)
    run = prepare(src, dst, classifier, chosen)
    window = chosen.window or seen(classifier)
    cell = window - (chosen.overlap or 0)
    if 2 * cell < window:
        raise OptionError(f'overlap is at most half a window of {window} px, got {chosen.overlap}')
    source = run.source
    cells = Cells((source.height, source.width), window, cell)
    run.strips, run.shape, run.transform = cells.strips, cells.shape, coarser(source.transform, cell)
    run.notes.append(f'scenes: {window} px, one every {cell} px; {run.shape[0]} rows of {run.shape[1]}')
    run.report(tell)
    compute = Classification(
        classifier,
        Blocks(source, run.bands, run.area),
        cells,
        run.scaling,
        chosen.batch_size,
        chosen.tta,
        chosen.probabilities,
        chosen.confidence,
    )
    return carry_out(run, compute, finish, dict(window=window, cell=cell), progress)


def seen(classifier: SceneClassifier) -> int:
    """Pixels of a side that a classifier's test pipeline takes: of its first resizing, else 224."""
    for step in classifier._cfg.test_dataloader.dataset.pipeline:
        side = next((step[key] for key in SIDES if key in step), None)
        if side is not None:
            return int(side if isinstance(side, int | float) else max(side))
    return WINDOW
