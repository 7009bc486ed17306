"""The options of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ...errors import OptionError

DTYPES = ('uint8', 'float32')


@dataclass(frozen=True)
class RasterOptions:
    """How :func:`segment_raster` and :func:`classify_raster` map, and what they write beside the map.

    What is beside ``map.tif`` bears its name: ``map_confidence.tif``, ``map_areas.csv`` and so on.

    Attributes:
        window (int, optional): Side of a window in pixels of the raster. Defaults to None: a segmenter's
            ``crop_size`` in ``test_cfg``, else the ``size`` of its preprocessor, else 512, where its test
            pipeline halves images twice that; of a classifier the side that its test pipeline cuts.
        overlap (int, optional): Pixels by which neighbouring windows overlap, at most half a window.
            Defaults to None: by the ``stride`` in a segmenter's ``test_cfg``, else half a window;
            of a classifier 0.
        batch_size (int): Windows that go through the model at a time. Defaults to 1.
        bands (Sequence[int], optional): Numbers of the bands, from 1, in the model's order. Defaults to
            None: the config's, else red, green and blue by their names, else all if they are as many as the
            model takes.
        scale (str | Sequence[float]): ``'none'``, ``'statistics'``, two numbers that become 0 and 255, or
            ``'auto'``: ``'statistics'`` for values that are not of 8 bits in a model of 8-bit images, else
            ``'none'``. Defaults to ``'auto'``.
        nodata (float, optional): Value without data where the file does not say so. Defaults to None.
        aoi (str | Path, optional): Vector file with the area to map; the map is cropped to it. Defaults to
            None, all.
        assets (Sequence[str], optional): Of a STAC item: one asset with all bands, or several to stack.
            Defaults to None, the one that there is.
        tta (bool): Whether to average over flips and turns. Defaults to False.
        probabilities (str, optional): Write those of all classes, as ``'uint8'`` (254 for 1; also True) or
            ``'float32'``. Defaults to None.
        confidence (str, optional): Write that of the class on the map, likewise. Defaults to None.
        polygons (str, optional): Write ``'gpkg'`` (also True) or ``'geojson'``. Defaults to None.
        simplify (float): Tolerance in units of the coordinates by which borders of polygons are simplified;
            neighbours stay neighbours. Defaults to 0, not at all.
        min_area (float): Polygons that are smaller are left out, in m² (without a coordinate reference
            system in pixels). Defaults to 0.
        areas (bool): Write a table of the classes' areas. Defaults to False.
        stac (bool): Write a STAC item of the result. Defaults to False.
        style (bool): Write styles for QGIS. Defaults to False.
        overwrite (bool): Whether to replace a map that is there. Defaults to False.
        restart (bool): Whether to begin anew where an interrupted run could go on. Defaults to False.

    Raises:
        OptionError: If a value has no meaning.
    """

    window: int | None = None
    overlap: int | None = None
    batch_size: int = 1
    bands: Sequence[int] | None = None
    scale: str | Sequence[float] = 'auto'
    nodata: float | None = None
    aoi: str | Path | None = None
    assets: Sequence[str] | None = None
    tta: bool = False
    probabilities: str | None = None
    confidence: str | None = None
    polygons: str | None = None
    simplify: float = 0.0
    min_area: float = 0.0
    areas: bool = False
    stac: bool = False
    style: bool = False
    overwrite: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (
            ('probabilities', DTYPES),
            ('confidence', DTYPES),
            ('polygons', ('gpkg', 'geojson')),
        ):
            value = getattr(self, name)
            if isinstance(value, bool):  # as the command's option without a value
                value = allowed[0] if value else None
                object.__setattr__(self, name, value)
            if value is not None and value not in allowed:
                raise OptionError(f'{name}: {" or ".join(allowed)}, got {value!r}')
        for name, least in (
            ('window', 32),
            ('overlap', 0),
            ('batch_size', 1),
            ('simplify', 0),
            ('min_area', 0),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise OptionError(f'{name} must be at least {least}, got {value}')
        if not self.polygons and (self.simplify or self.min_area):
            raise OptionError('simplify and min_area are of polygons: ask for these too')


def names() -> list[str]:
    """Of the options."""
    return [field.name for field in fields(RasterOptions)]
