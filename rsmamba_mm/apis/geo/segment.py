"""A map of land cover from a raster of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import OptionError
from ..predictors import LandCoverSegmenter
from .blend import Segmentation
from .finish import finish
from .grid import Grid
from .options import RasterOptions
from .reading import Blocks
from .runs import Progress, RasterResult, carry_out, prepare

WINDOW = 512
LEAST = 4  # windows that a strip is wide, at least
SUMS = 256 * 2**20  # bytes of logits that are summed up at a time, at most


def segment_raster(
    src: str | Path | Sequence[str | Path],
    dst: str | Path,
    segmenter: LandCoverSegmenter,
    progress: Callable[[Progress], None] | None = None,
    tell: Callable[[str], None] | None = None,
    **options,
) -> RasterResult | None:
    """Map the land cover of a raster, in windows that overlap and fade into one another.

    The memory that it takes does not depend on the raster's size. An interrupted call goes on where it was
    when it is repeated, and the map has the same bytes; processes under torchrun share the windows, again
    with the same bytes if each has as many threads.

    Args:
        src (str | Path | Sequence): What rasterio opens, a folder or a list of tiles, or a STAC item.
        dst (str | Path): The map, a cloud-optimised GeoTIFF of 8 bits: classes from 0, 255 without data.
        segmenter (LandCoverSegmenter): The model.
        progress (Callable, optional): Called with a :class:`Progress` after each strip. Defaults to None.
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
    check_channels(segmenter)
    run = prepare(src, dst, segmenter, chosen)
    window, stride = window_and_stride(segmenter, chosen)
    depth = len(segmenter.classes) * 4 * window
    source = run.source
    grid = Grid(
        (source.height, source.width),
        (window, window),
        (stride, stride),
        max(SUMS // depth, LEAST * window),
    )
    run.strips = grid.strips
    run.notes.append(f'windows: {window} px, every {stride} px; {len(run.strips)} strips')
    if 2 * stride > window + 1:
        half = window // 2
        run.notes.append(
            f'overlap: where windows meet shows least with {half} px, '
            f'at {(stride / (window - half)) ** 2:.1f} times the windows'
        )
    run.report(tell)
    compute = Segmentation(
        segmenter,
        Blocks(source, run.bands, run.area),
        grid,
        run.scaling,
        chosen.batch_size,
        chosen.tta,
        chosen.probabilities,
        chosen.confidence,
    )
    return carry_out(run, compute, finish, dict(window=window, stride=stride), progress)


def check_channels(segmenter: LandCoverSegmenter) -> None:
    """Refuse a head whose one channel tells two classes apart by mmseg's ``threshold``.

    Raises:
        OptionError: If the decode head has other than one channel for each class.
    """
    classes = len(segmenter.classes)
    channels = getattr(segmenter.model, 'out_channels', classes)
    if channels != classes:
        raise OptionError(
            f'{segmenter.config}: decode_head.out_channels is {channels}, and a map takes one channel for '
            f'each of the {classes} classes. Train with out_channels={classes} and a loss over classes '
            '(use_sigmoid=False), or predict images one by one with tools/image_demo.py'
        )


def window_and_stride(segmenter: LandCoverSegmenter, options: RasterOptions) -> tuple[int, int]:
    """Side of a window and stride, in pixels, as asked for or as the config has them.

    Raises:
        OptionError: If windows overlap by more than half.
    """
    test_cfg = segmenter.model.test_cfg or {}
    seen = (  # by the model, after the pipeline has resized
        *(test_cfg.get('crop_size') or ()),
        *(getattr(segmenter.model.data_preprocessor, 'size', None) or ()),
        WINDOW,
    )
    factor = segmenter.scale_factor
    window = options.window or round(next(side for side in seen if side) / factor)
    if options.overlap is not None:
        overlap = options.overlap
    elif test_cfg.get('stride') and not options.window:
        overlap = window - round(test_cfg['stride'][0] / factor)
    else:
        overlap = window // 2  # less shows where windows meet
    if 2 * overlap > window:
        raise OptionError(f'overlap is at most half a window of {window} px, got {overlap}')
    return window, window - overlap
