"""Writing what follows from the runs, and refusing what does not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from PIL import Image

from ...errors import OptionError
from ...visualization import plot_answer, plot_costs
from .experiments import Bench
from .pages import JSON, PAIRS, PICTURE, SPEED, answered, render
from .results import Results
from .scores import METRICS


def write_results(bench: Bench) -> list[Path]:
    """Write all that follows from the runs.

    Args:
        bench (Bench): Where.

    Returns:
        list[Path]: The files that changed.

    Raises:
        OptionError: If a run is not whole, or not of its experiment.
    """
    results, speed = Results(bench), read_speed(bench)
    changed = []
    for path, text in render(results, speed).items():
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            path.write_text(text, encoding='utf-8')
            changed.append(path)
    for picture, draw, shown in _pictures(results, speed):
        if _drawn(picture) != _digest(shown):
            changed.append(draw(shown, picture, _digest(shown)))
    return changed


def check_results(bench: Bench) -> None:
    """Refuse a table that the runs' logs do not give.

    Args:
        bench (Bench): Where.

    Raises:
        OptionError: Naming every file that differs, and the figure or line in it.
    """
    results, speed = Results(bench), read_speed(bench)
    wrong = []
    for path, text in render(results, speed).items():
        found = path.read_text(encoding='utf-8') if path.is_file() else ''
        if found != text:
            wrong.append(f'{path}: {_difference(path, found, text)}')
    for picture, _, shown in _pictures(results, speed):
        if _drawn(picture) != _digest(shown):
            wrong.append(f'{picture} was not drawn from these figures')
    if wrong:
        raise OptionError(
            'the logs do not give what is written; python tools/reproduce.py --render writes it anew:\n  '
            + '\n  '.join(wrong)
        )


def read_speed(bench: Bench) -> dict | None:
    """``speed.json``; None where nothing was measured."""
    path = bench.folder / SPEED
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def cost_points(results: Results, speed: dict | None) -> list[dict]:
    """What the picture of costs shows: figures and costs of the models that have run and were measured,
    where there are several on the same data."""
    points, models = [], (speed or {}).get('models', {})
    for name in results.measured(speed):
        if not results.bench.experiments[name].carried:  # shown as the training that gave it
            experiment, each = results.bench.experiments[name], models[name]
            metric = experiment.data.metrics[0]
            row = results.row(name, 'held-out', metric)
            points.append(
                dict(
                    data=experiment.data.title,
                    title=experiment.title,
                    metric=METRICS[metric],
                    figure=row['mean'],
                    interval=row['ci95'],
                    milliseconds=each['milliseconds'],
                    parameters=each['parameters'],
                    operations=each['multiply_adds'] + each['scans'],
                )
            )
    models_of = Counter(point['data'] for point in points)
    return [point for point in points if models_of[point['data']] > 1]


def _pictures(results: Results, speed: dict | None) -> Iterator[tuple[Path, Callable, list[dict]]]:
    """Each picture, what draws it, and the figures that it shows."""
    folder = results.bench.folder
    if points := cost_points(results, speed):
        yield folder / PICTURE, plot_costs, points
    for question in results.bench.questions:
        if rows := answered(results, question):
            about = dict(metric=METRICS[rows[0]['metric']], question=question.title)
            shown = [{key: row[key] for key in ('title', 'mean', 'ci95', 'seeds')} | about for row in rows]
            yield folder / f'{question.name}.png', plot_answer, shown


def _difference(path: Path, found: str, given: str) -> str:
    """The first figure or line that differs."""
    if not found:
        return 'it is not there'
    if path.name in (JSON, PAIRS):
        try:
            said = _figure(json.loads(found), json.loads(given))
        except (ValueError, AttributeError):
            said = None
        if said:
            return said
    lines = zip_longest(found.splitlines(), given.splitlines())
    number, (old, new) = next((n, pair) for n, pair in enumerate(lines, 1) if pair[0] != pair[1])
    return f'line {number} is {old!r}, the logs give {new!r}'


def _figure(found: list[dict], given: list[dict]) -> str | None:
    for old, new in zip_longest(found, given):
        if old is None:
            return f'{_name(new)} is not there'
        if new is None:
            return f'{_name(old)} is of no run'
        for key in {**new, **old}:
            if old.get(key) != new.get(key):
                return f'{_name(new)}: {key} is {old.get(key)!r}, the logs give {new.get(key)!r}'
    return None


def _name(row: dict) -> str:
    keys = ('experiment', 'first', 'second', 'protocol', 'metric')
    return ', '.join(str(row[key]) for key in keys if key in row)


def _digest(points: list[dict]) -> str:
    return hashlib.sha256(json.dumps(points).encode()).hexdigest()


def _drawn(picture: Path) -> str | None:
    """The digest of the figures that a picture was drawn from."""
    if not picture.is_file():
        return None
    with Image.open(picture) as image:
        return getattr(image, 'text', {}).get('Description')
