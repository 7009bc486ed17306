"""What ``tools/segment_raster.py`` does."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace

from ...errors import OptionError
from ..predictors import LandCoverSegmenter, predictor
from .classify import classify_raster
from .options import names
from .processes import local_device
from .runs import Progress, RasterResult
from .segment import segment_raster

EVERY = 10  # seconds between lines of progress where it does not stand in one place


def map_raster(args: Namespace) -> RasterResult | None:
    """Map a raster by a segmenter or a classifier, and tell of it on the standard output.

    Args:
        args (Namespace): Parsed options of :func:`add_raster_arguments`.

    Returns:
        RasterResult | None: What was written; None in all processes of torchrun but the first.

    Raises:
        UserError: If something is not there, does not fit, or cannot be written.
    """
    options = {name: getattr(args, name) for name in names()}
    options = {name: value for name, value in options.items() if value not in (None, False)}
    if 'scale' in options:
        options['scale'] = _scale(options['scale'])
    first = int(os.environ.get('RANK', 0)) == 0
    model = predictor(
        args.config,
        args.checkpoint,
        device=local_device(args.device),
        cfg_options=args.cfg_options,
        half=args.half,
    )
    src = args.src if len(args.src) > 1 else args.src[0]
    reporter = Reporter() if first else None
    options.update(progress=reporter, tell=_say if first else None)
    if isinstance(model, LandCoverSegmenter):
        result = segment_raster(src, args.dst, model, **options)
    else:
        if first:
            _say('a classifier of scenes: the map says which scene each cell is in, not its land cover')
        result = classify_raster(src, args.dst, model, **options)
    if reporter is not None:
        reporter.end()
    if result is not None:
        for key, path in result.files.items():
            _say(f'{key}: {path}')
        for name, area in (result.areas or {}).items():
            if area:
                _say(f'{name}: {area:,.0f} m²')
    return result


class Reporter:
    """Progress on the standard output: one line that is written over, or one every few seconds."""

    def __init__(self) -> None:
        self._over = sys.stdout.isatty()
        self._last = 0.0
        self._seconds = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        self._seconds = progress.seconds
        if not self._over and progress.done < progress.total and now - self._last < EVERY:
            return
        self._last = now
        line = (
            f'{progress.done} of {progress.total} strips, {progress.done / progress.total:.0%}, '
            f'{duration(progress.left)} left'
        )
        print(f'\r{line:60}' if self._over else line, end='' if self._over else '\n', flush=True)

    def end(self) -> None:
        if self._over:
            print()
        print(f'strips: {self._seconds:.1f} s')


def duration(seconds: float) -> str:
    """As ``'2 h 05 min'``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f'{hours} h {minutes:02d} min'
    return f'{minutes} min {seconds:02d} s' if minutes else f'{seconds} s'


def _scale(words: list[str]) -> str | tuple[float, ...]:
    if len(words) == 1:
        return words[0]
    try:
        return tuple(map(float, words))
    except ValueError:
        raise OptionError(f'--scale: none, statistics or two numbers, got {" ".join(words)}') from None


def _say(line: str) -> None:
    print(line, flush=True)
