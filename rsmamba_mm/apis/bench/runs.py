"""Finished runs as small files: ``docs/results/runs/EXPERIMENT/seedN``.

``run.json`` says how it was made, ``log.csv`` how it went, and ``predictions.csv`` of scenes or
``confusions.csv`` of maps what it said of each test image, by the epoch that each protocol selects.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingDataError
from ...visualization import write_table
from .experiments import Bench, Experiment
from .journal import LOG, Journal, read_log, select
from .scores import confusions

RUN, SCENES, MAPS = 'run.json', 'predictions.csv', 'confusions.csv'
#: how the epoch is selected -> the part that selects it
PROTOCOLS = {'held-out': 'held_out', 'paper': 'test'}


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder (Path): Where it is kept.
        about (Mapping[str, Any]): ``run.json``.
        log (Sequence[dict]): See :func:`~.journal.read_log`.
        images (Sequence[str]): Names of the test images.
        counts (Mapping[str, np.ndarray]): Of each protocol ``(N, C, C)`` confusions of the test images.
    """

    folder: Path
    about: Mapping[str, Any]
    log: Sequence[dict]
    images: Sequence[str]
    counts: Mapping[str, np.ndarray]


def record_run(bench: Bench, experiment: Experiment, seed: int, journal: Journal) -> Path:
    """Keep what a finished training left.

    Args:
        bench (Bench): Where.
        experiment (Experiment): What was trained.
        seed (int): Its seed.
        journal (Journal): Of its folder of work.

    Returns:
        Path: The folder.
    """
    folder = bench.run_folder(experiment, seed)
    folder.mkdir(parents=True, exist_ok=True)
    facts, last = journal.facts, journal.rows[-1]
    selected = {protocol: select(journal.rows, part) for protocol, part in PROTOCOLS.items()}
    read = {protocol: np.load(journal.predictions(epoch)) for protocol, epoch in selected.items()}
    images = read['held-out']['test_images'].tolist()
    judged = {protocol: arrays['test'] for protocol, arrays in read.items()}
    if judged['held-out'].ndim == 2:
        write_table(_scene_rows(images, judged, facts['classes']), folder / SCENES)
    else:
        write_table(_map_rows(images, judged, facts['classes']), folder / MAPS)
    (folder / LOG).write_bytes((journal.folder / LOG).read_bytes())
    about = dict(
        experiment=experiment.name,
        config=experiment.config,
        **(dict(options=dict(experiment.options)) if experiment.options else {}),
        dataset=experiment.data.name,
        seed=seed,
        command=f'python tools/reproduce.py {experiment.name}' + (f' --seeds {seed + 1}' if seed else ''),
        epochs=last['epoch'],
        images_seen=last['images_seen'],
        seconds=last['seconds'],
        selected=selected,
        **facts,
    )
    (folder / RUN).write_text(json.dumps(about, indent=2) + '\n', encoding='utf-8')  # last: it is whole now
    return folder


def read_run(folder: str | Path) -> Run:
    """Read a finished run.

    Args:
        folder (str | Path): Where it is kept.

    Returns:
        Run: The run.

    Raises:
        MissingDataError: If a file of it is not there, or is not one of these.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / RUN).read_text(encoding='utf-8'))
        classes: Sequence[str] = about['classes']
        scenes = (folder / SCENES).is_file()
        with open(folder / (SCENES if scenes else MAPS), newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        log = read_log(folder / LOG)
        if not log:
            raise FileNotFoundError(folder / LOG)
        images, counts = (_read_scenes if scenes else _read_maps)(rows, classes)
    except (OSError, KeyError, ValueError) as error:
        raise MissingDataError(f'{folder} is no whole run: {type(error).__name__}: {error}') from error
    return Run(folder, about, log, images, counts)


def _scene_rows(
    images: Sequence[str], judged: Mapping[str, np.ndarray], classes: Sequence[str]
) -> list[dict]:
    truth = judged['held-out'][:, 0]
    columns = {'truth': truth, **{protocol: array[:, 1] for protocol, array in judged.items()}}
    return [
        {'image': image, **{name: classes[column[i]] for name, column in columns.items()}}
        for i, image in enumerate(images)
    ]


def _map_rows(
    images: Sequence[str], judged: Mapping[str, np.ndarray], classes: Sequence[str]
) -> list[dict]:
    """Of each image, protocol and true class the pixels of each predicted class."""
    return [
        {
            'image': image,
            'protocol': protocol,
            'truth': truth,
            **dict(zip(classes, row.tolist(), strict=True)),
        }
        for i, image in enumerate(images)
        for protocol, array in judged.items()
        for truth, row in zip(classes, array[i], strict=True)
    ]


def _read_scenes(rows: list[dict], classes: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    index = {name: i for i, name in enumerate(classes)}
    judged = {
        protocol: np.array([(index[row['truth']], index[row[protocol]]) for row in rows])
        for protocol in PROTOCOLS
    }
    counts = {protocol: confusions(array, len(classes)) for protocol, array in judged.items()}
    return [row['image'] for row in rows], counts


def _read_maps(rows: list[dict], classes: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    images = list(dict.fromkeys(row['image'] for row in rows))
    place = {image: i for i, image in enumerate(images)}
    index = {name: i for i, name in enumerate(classes)}
    size = len(classes)
    counts = {protocol: np.zeros((len(images), size, size), np.int64) for protocol in PROTOCOLS}
    for row in rows:
        counts[row['protocol']][place[row['image']], index[row['truth']]] = [int(row[c]) for c in classes]
    return images, counts
