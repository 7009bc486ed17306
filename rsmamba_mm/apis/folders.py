"""Many scenes at once: from a folder, a list or a zip file to a table of classes, and a map of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ..errors import MissingDataError, OptionError
from .inference import TOPK, ImagePredictor, find_inputs
from .places import RASTERS, locate

LISTS = ('.txt', '.lst')


class Scene(NamedTuple):
    """An image to classify.

    Attributes:
        name (str): What the table calls it.
        path (str): What opens it.
    """

    name: str
    path: str


@dataclass
class FolderSummary:
    """What :func:`classify_folder` has done.

    Attributes:
        table (Path): The CSV file.
        map (Path, optional): The GeoJSON file; None if no image has coordinates.
        classified (int): Images in the table.
        located (int): Images on the map.
        unreadable (dict[str, str]): Names of those left out, and why.
    """

    table: Path
    map: Path | None = None
    classified: int = 0
    located: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def classify_folder(
    predictor: ImagePredictor,
    source: str | Path,
    out: str | Path,
    batch_size: int = 16,
    topk: int = TOPK,
    report: Callable[[str], None] = print,
) -> FolderSummary:
    """Classify scenes and write a table of them; where they carry coordinates, a map beside it.

    The table has a row for each image: ``file``, ``class``, ``score``, then ``class_2``, ``score_2`` and so
    on. The map is GeoJSON in WGS 84 with the same properties: outlines of GeoTIFFs, and points of photos
    with GPS. An image that cannot be read is in neither.

    Args:
        predictor (ImagePredictor): A trained classifier.
        source (str | Path): A folder, searched at any depth; a list (.txt or .lst), a path a line, absolute
            or relative to the list's folder; a zip file, which is read without unpacking it; or an image.
        out (str | Path): The table, a .csv file; the map gets its name with .geojson.
        batch_size (int): How many images go through the model at a time. Defaults to 16.
        topk (int): How many classes of each image to write. Defaults to 5.
        report (Callable[[str], None]): Takes a line on each image that is left out. Defaults to print.

    Returns:
        FolderSummary: What was done.

    Raises:
        OptionError: If the model is no classifier or an option does not fit.
        MissingDataError: If the source is not there or has no images.
    """
    out = Path(out)
    for number, name in ((batch_size, 'batch-size'), (topk, 'topk')):
        if number < 1:
            raise OptionError(f'--{name} must be at least 1, got {number}')
    if out.suffix.lower() != '.csv':
        raise OptionError(f'--out: the table is a .csv file, got {out}')
    if predictor.segmenter:
        raise OptionError('the model maps land cover: take tools/image_demo.py, or a classifier')
    scenes = find_scenes(source)
    rasters = any(scene.path.lower().endswith(RASTERS) for scene in scenes)
    mapped = not rasters or find_spec('rasterio') is not None
    if not mapped:
        report('the coordinates of GeoTIFFs are not read without rasterio: pip install "rsmamba_mm[geo]"')
    summary, features = FolderSummary(out), []
    shown = min(topk, len(predictor.classes))
    ranks = [column for i in range(2, shown + 1) for column in (f'class_{i}', f'score_{i}')]
    out.parent.mkdir(parents=True, exist_ok=True)
    predictions = predictor.predict((scene.path for scene in scenes), batch_size)
    with (
        out.open('w', newline='', encoding='utf-8') as file,
        Progress(console=Console(stderr=True)) as bars,
    ):
        table = csv.DictWriter(file, ['file', 'class', 'score', *ranks])
        table.writeheader()
        for scene in bars.track(scenes, description='classifying'):
            prediction = next(predictions)
            if prediction.error is not None:
                summary.unreadable[scene.name] = str(prediction.error)
                report(f'left out: {prediction.error}')
                continue
            cells = _cells(scene, prediction.scores, predictor.classes, shown)
            row = dict(zip(table.fieldnames, cells, strict=True))
            table.writerow(row)
            summary.classified += 1
            place = locate(scene.path) if mapped or not scene.path.lower().endswith(RASTERS) else None
            if place is not None:
                features.append(dict(type='Feature', geometry=place, properties=row))
    path = out.with_suffix('.geojson')
    path.unlink(missing_ok=True)  # of an earlier call
    if features:
        path.write_text(json.dumps(dict(type='FeatureCollection', features=features)) + '\n')
        summary.map, summary.located = path, len(features)
    return summary


def find_scenes(source: str | Path) -> list[Scene]:
    """The images of a folder, a list or a zip file, or an image itself.

    Raises:
        MissingDataError: If there is none.
        OptionError: If a list is no text.
    """
    # the package of data sets needs mmcv, which other parts of this interface do not
    from ..datasets.folder import IMAGE_SUFFIXES
    from ..datasets.zips import zip_members

    source = Path(source)
    if source.is_file() and source.suffix.lower() == '.zip':
        members = zip_members(source).items()
        scenes = [Scene(*item) for item in members if item[0].lower().endswith(IMAGE_SUFFIXES)]
    elif source.is_file() and source.suffix.lower() in LISTS:
        try:
            lines = [line.strip() for line in source.read_text(encoding='utf-8').splitlines()]
        except UnicodeDecodeError:
            raise OptionError(f'{source} is no list of images: no text') from None
        scenes = [Scene(line, str(source.parent / line)) for line in lines if line]
    else:
        scenes = [Scene(str(path), str(path)) for path in find_inputs(source, source)]
    if not scenes:
        raise MissingDataError(f'no images in {source}: looked for {" ".join(IMAGE_SUFFIXES)}')
    return scenes


def _cells(scene: Scene, scores: np.ndarray, classes: Sequence[str], shown: int) -> list:
    """An image's row of the table."""
    ranked = np.argsort(-scores, kind='stable')[:shown].tolist()
    return [scene.name, *(cell for i in ranked for cell in (classes[i], round(float(scores[i]), 4)))]
