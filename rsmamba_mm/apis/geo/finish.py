"""From finished strips to the files of a result."""

from __future__ import annotations

from pathlib import Path

from ...version import __version__
from .areas import class_areas, write_areas
from .journal import Journal
from .polygons import trace, write_polygons
from .runs import RasterResult, Run, install, target_of
from .stac import when, write_item
from .styles import write_polygon_style, write_raster_style


def finish(run: Run, journal: Journal) -> RasterResult:
    """Write all files of the result into the journal's folder, then move them into place.

    Raises:
        OutputError: If one cannot be written.
    """
    options, folder = run.options, journal.folder
    classes, palette = list(run.model.classes), run.model.palette
    taken = when(run.source.datetime, run.source.files)
    made = {}
    for product in run.products:
        key = 'map' if product.name == 'labels' else product.name
        virtual = product.virtual(run.shape, run.strips, journal.path, run.source.crs, run.transform)
        made[key] = product.write(virtual, folder / f'{product.name}.tif')
    areas = None
    if options.areas:
        pixels, areas = class_areas(made['map'], len(classes))
        made['areas'] = write_areas(folder / 'areas.csv', classes, palette, pixels, areas)
    if options.polygons:
        regions = trace(made['map'], options.simplify, options.min_area)
        made['polygons'] = write_polygons(
            folder / f'polygons.{options.polygons}',
            regions,
            classes,
            run.source.crs,
            f'{taken:%Y-%m-%dT%H:%M:%S}.000Z',
        )
    if options.style:
        made['style'] = write_raster_style(folder / 'style.qml', classes, palette)
        if options.polygons:
            made['polygon_style'] = write_polygon_style(folder / 'polygons.qml', classes, palette)
    if options.stac and run.source.crs is not None:
        files = {key: target_of(run.dst, key, path.suffix) for key, path in made.items()}
        about = dict(
            model_config=Path(run.model.config).name,
            model_checkpoint=Path(run.model.checkpoint).name,
            software=f'rsmamba_mm {__version__}',
        )
        made['stac'] = write_item(
            folder / 'item.json',
            files,
            classes,
            palette,
            run.source.crs,
            run.transform,
            run.shape,
            taken,
            about,
        )
    files = install(run, journal, made)
    named = dict(zip(classes, areas, strict=True)) if areas is not None else None
    return RasterResult(files['map'], files, classes, named)
