"""From the bands of a raster to what a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import OptionError
from ..predictors import ModelInput
from .sources import Source

COLOURS = ('red', 'green', 'blue')


def choose_bands(source: Source, takes: ModelInput, bands: Sequence[int] | None = None) -> list[int]:
    """Numbers of the bands to read, from 1, in the model's order.

    Those that are asked for, else the config's, else red, green and blue as the raster names them, else
    all.

    Raises:
        OptionError: If the raster lacks one, there are more or fewer than the model takes, or nothing says
            which.
    """
    chosen = list(bands or takes.bands or [])
    if chosen:
        if min(chosen) < 1 or max(chosen) > source.count:
            raise OptionError(
                f'{source.name} has {source.count} bands, but the bands {chosen} are asked for'
            )
        if len(chosen) != takes.channels:
            raise OptionError(f'bands: the model takes {takes.channels}, got {chosen}')
        return chosen
    if takes.colour and takes.channels == 3 and set(COLOURS) <= set(source.colours):
        return [source.colours.index(colour) + 1 for colour in COLOURS]
    data = [i for i, colour in enumerate(source.colours, 1) if colour != 'alpha']
    if source.colours == ('palette',):
        raise OptionError(
            f'{source.name} has a palette: expand it to red, green and blue first (rio convert)'
        )
    if len(data) == takes.channels:
        return data
    hint = '1 1 1 repeats the one' if source.count == 1 else ' '.join(map(str, data[: takes.channels]))
    raise OptionError(
        f'{source.name} has {len(data)} bands ({", ".join(source.colours)}), the model takes '
        f'{takes.channels}: say which and in which order, such as --bands {hint}'
    )


@dataclass(frozen=True)
class Scaling:
    """Values of a raster to values of the model: ``value * gain + offset``, in each band.

    Attributes:
        takes (ModelInput): What the model takes.
        gain, offset (tuple[float, ...]): Of each band.
        kept (bool): Whether the values stay as they are.
    """

    takes: ModelInput
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    kept: bool

    def __call__(self, pixels: np.ma.MaskedArray) -> np.ndarray:
        """The array ``(H, W, bands)`` that the config's pipeline takes, of pixels ``(bands, H, W)``.

        float32, or uint8 where the raster has it and the model takes 8-bit images; missing data is filled.
        """
        takes = self.takes
        data, mask = pixels.data, pixels.mask
        fill = np.array(takes.fill, dtype=np.float32)[:, None, None]
        if self.kept and takes.colour and data.dtype == np.uint8:
            fill = np.rint(fill).astype(np.uint8)
        else:
            data = data.astype(np.float32)
            if not self.kept:
                data *= np.array(self.gain, dtype=np.float32)[:, None, None]
                data += np.array(self.offset, dtype=np.float32)[:, None, None]
                if takes.colour:
                    np.clip(data, 0, 255, out=data)
        if mask.any():
            data = np.where(mask, fill, data)
        if takes.reverse:
            data = data[::-1]
        return np.ascontiguousarray(data.transpose(1, 2, 0))


def choose_scaling(
    source: Source, bands: Sequence[int], takes: ModelInput, scale: str | Sequence[float] = 'auto'
) -> tuple[Scaling, str]:
    """How values are scaled, and a line that says so.

    Args:
        source (Source): The raster.
        bands (Sequence[int]): Those that are read.
        takes (ModelInput): What the model takes.
        scale (str | Sequence[float]): ``'none'``; two numbers, which become 0 and 255; ``'statistics'``, so
            that each band has the mean and the standard deviation of the model's training; or ``'auto'``:
            none where the model takes the raster's kind of values, else statistics. Defaults to ``'auto'``.

    Raises:
        OptionError: If ``scale`` is none of these, or the model does not say its statistics.
    """
    same = Scaling(takes, (1.0,) * len(bands), (0.0,) * len(bands), True)
    fits = source.dtype == 'uint8' or not takes.colour
    if isinstance(scale, str):
        if scale not in ('auto', 'none', 'statistics'):
            raise OptionError(f'scale is auto, none, statistics or two numbers, got {scale!r}')
        if scale == 'none' or (scale == 'auto' and fits):
            return same, f'values: {source.dtype}, as they are'
        return _by_statistics(source, bands, takes)
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise OptionError(f'scale: two rising numbers, which become 0 and 255, got {tuple(scale)}')
    low, high = map(float, scale)
    gain = 255 / (high - low)
    scaling = Scaling(takes, (gain,) * len(bands), (-low * gain,) * len(bands), False)
    return scaling, f'values: {source.dtype}, {low:g} to {high:g} become 0 to 255'


def _by_statistics(source: Source, bands: Sequence[int], takes: ModelInput) -> tuple[Scaling, str]:
    if takes.mean is None or takes.std is None:
        raise OptionError(
            "scale: the model's data_preprocessor has no mean and std to scale by: give two numbers"
        )
    with source.reader(bands) as reader:
        sample = reader.read_small()
    gains, offsets, said = [], [], []
    for values, mean, std in zip(sample, takes.mean, takes.std, strict=True):
        present = values.compressed().astype(np.float64)
        found, spread = (present.mean(), present.std()) if present.size else (0.0, 0.0)
        gain = std / spread if spread > 0 else 1.0
        gains.append(float(gain))
        offsets.append(float(mean - found * gain))
        said.append(f'{found:.4g}±{spread:.3g}')
    line = f'values: {source.dtype}, mean and deviation {", ".join(said)} become those of the training'
    return Scaling(takes, tuple(gains), tuple(offsets), False), line
