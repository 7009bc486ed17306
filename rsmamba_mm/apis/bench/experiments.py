"""The experiments of the bench, as ``docs/results/experiments.yml`` names them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ...errors import MissingDataError, OptionError
from ...paths import share
from .scores import METRICS

RESULTS = Path('docs/results')
FILE = 'experiments.yml'
OPTIONAL = ('paper', 'gpu', 'pretraining', 'pretraining_epochs', 'options', 'weights_of', 'carried')
FIXED = {'randomness', 'custom_imports'}  # what the bench sets
PARTS = dict(train='images to train', held_out='held out', test='to test')  # and in words


@dataclass(frozen=True)
class Data:
    """A data set and how models are judged on it.

    Attributes:
        name (str): Its name, and that of its folder.
        title (str): What people call it.
        images (Mapping[str, int]): Number of images of the parts ``train``, ``held_out`` and ``test``.
            Without ``held_out`` nothing is selected: the last epoch is judged.
        metrics (Sequence[str]): Names of :data:`~.scores.METRICS`; the first one selects the epoch.
        fetch (str): How to get it.
        size (int): Side of the test images in pixels, for what a model costs.
        left_out (Sequence[str]): Classes that do not count in means over classes. Defaults to none.
        place (str): Its folder, where that is not of its name. Defaults to ''.
        options (Mapping): Settings that differ from those of the configs, nested as they are there.
            Defaults to none.
        screening (bool): Whether it is for the choice of a recipe. Defaults to False.
    """

    name: str
    title: str
    images: Mapping[str, int]
    metrics: Sequence[str]
    fetch: str
    size: int
    left_out: Sequence[str] = ()
    place: str = ''
    options: Mapping[str, Any] = field(default_factory=dict)
    screening: bool = False

    @property
    def folder(self) -> Path:
        """Where the configs look for it."""
        return Path(os.environ.get('RSMAMBA_DATA', 'data')) / (self.place or self.name)


@dataclass(frozen=True)
class Experiment:
    """A training whose figures are reported.

    Attributes:
        name (str): Its name.
        title (str): That of the model.
        config (str): Config, from the root of the project.
        data (Data): What it is trained and tested on.
        images_seen (int): Length of the training: images, each counted as often as it is seen.
        paper (Mapping[str, float]): Published figures in per cent by metric. Defaults to none.
        gpu (bool): Whether it is too large for a CPU. Defaults to False.
        pretraining (str): Config of the pre-training that its backbone starts from, by the same seed.
            Defaults to '', none.
        pretraining_epochs (int): Its length. Defaults to 0.
        options (Mapping): Settings that differ from those of the config, nested as they are there; its
            ``custom_hooks`` are added to the config's.
            Defaults to none.
        weights_of (str): The experiment of the same length whose weights are tested again, with other
            options; nothing is trained. Defaults to '', none.
        carried (str): Name of the model of the package that this training gave: its 16-bit weights are
            tested in place of those of ``weights_of``. Defaults to '', none.
    """

    name: str
    title: str
    config: str
    data: Data
    images_seen: int
    paper: Mapping[str, float]
    gpu: bool = False
    pretraining: str = ''
    pretraining_epochs: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    weights_of: str = ''
    carried: str = ''

    @property
    def epochs(self) -> int:
        """Length of the training in epochs."""
        return self.images_seen // self.data.images['train']


@dataclass(frozen=True)
class Question:
    """What some experiments on the same data were run to tell.

    Attributes:
        name (str): Its name.
        title (str): The question.
        experiments (Sequence[str]): Names; the others are compared with the first.
    """

    name: str
    title: str
    experiments: Sequence[str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each of the others and the first."""
        first, *others = self.experiments
        return [(other, first) for other in others]


@dataclass(frozen=True)
class Bench:
    """All experiments, and where their results lie.

    Attributes:
        folder (Path): Folder of ``experiments.yml``, the runs, and what is made of them.
        experiments (Mapping[str, Experiment]): By name, in the order of the file.
        compared (Sequence[tuple[str, str]]): Pairs of experiments on the same data; those of the questions
            are among them.
        questions (Sequence[Question]): In the order of the file.
        readmes (Sequence[Path]): Pages that have tables of results between marks.
    """

    folder: Path
    experiments: Mapping[str, Experiment]
    compared: Sequence[tuple[str, str]]
    questions: Sequence[Question]
    readmes: Sequence[Path]

    @property
    def further(self) -> set[str]:
        """Experiments that answer a question beside its first one."""
        return {first for question in self.questions for first, _ in question.pairs}

    @property
    def costed(self) -> list[str]:
        """Experiments whose models are measured: those reported by themselves, and of a size for a CPU."""
        further, named = self.further, self.experiments.items()
        return [
            name for name, each in named if name not in further and not each.data.screening and not each.gpu
        ]

    def find(self, names: Sequence[str]) -> list[Experiment]:
        """Experiments by their names.

        Raises:
            OptionError: If one is unknown; the message names those nearest to it.
        """
        for name in names:
            if name not in self.experiments:
                near = get_close_matches(name, self.experiments, 3, 0.4)
                hint = f'did you mean {" or ".join(near)}?' if near else 'see tools/reproduce.py --list'
                raise OptionError(f'no experiment {name!r} in {self.folder / FILE}; {hint}')
        return [self.experiments[name] for name in names]

    def run_folder(self, experiment: Experiment, seed: int) -> Path:
        """Where what a run left is kept."""
        return self.folder / 'runs' / experiment.name / f'seed{seed}'


def read_bench(folder: str | Path | None = None) -> Bench:
    """Read the experiments.

    Args:
        folder (str | Path, optional): That has ``experiments.yml``. Defaults to None, ``docs/results`` of
            the project.

    Returns:
        Bench: The experiments.

    Raises:
        MissingDataError: If the file is not there.
        OptionError: If an entry of it is unknown, missing or does not fit; the message names it.
    """
    folder = share() / RESULTS if folder is None else Path(folder)
    path = folder / FILE
    if not path.is_file():
        raise MissingDataError(f'{path.resolve()} is not there: it names the experiments of the bench')
    read = yaml.safe_load(path.read_text(encoding='utf-8'))
    _check_keys(path, 'the file', read, {'datasets', 'experiments', 'compared', 'questions', 'readmes'}, ())
    data = {name: _data(path, name, about) for name, about in read['datasets'].items()}
    experiments = {
        name: _experiment(path, name, about, data) for name, about in read['experiments'].items()
    }
    for each in experiments.values():
        trained = experiments.get(each.weights_of or each.name)
        if trained is None or (trained.data, trained.images_seen) != (each.data, each.images_seen):
            raise OptionError(
                f'{path}: {each.name}: weights_of names an experiment on the same data and as long, got '
                f'{each.weights_of!r}'
            )
    questions = [_question(path, name, about) for name, about in (read.get('questions') or {}).items()]
    pairs = [(first, second) for first, second in read.get('compared') or ()]
    pairs += [pair for question in questions for pair in question.pairs]
    bench = Bench(
        folder,
        experiments,
        list(dict.fromkeys(pairs)),
        questions,
        [Path(os.path.normpath(folder / readme)) for readme in read.get('readmes') or ()],
    )
    for pair in bench.compared:
        first, second = bench.find(pair)
        if first.data.name != second.data.name:
            raise OptionError(f'{path}: {first.name} and {second.name} are of different data sets')
    return bench


def _data(path: Path, name: str, about: dict) -> Data:
    optional = ('left_out', 'place', 'options', 'screening')
    _check_keys(path, name, about, {f.name for f in fields(Data)} - {'name'}, optional)
    _check_options(path, name, about)
    if {*about['images'], 'held_out'} != set(PARTS):
        raise OptionError(
            f'{path}: {name}: images has a number for each of {", ".join(PARTS)}; held_out may be left out'
        )
    unknown = [metric for metric in about['metrics'] if metric not in METRICS]
    if unknown or not about['metrics']:
        raise OptionError(
            f'{path}: {name}: metrics are some of {", ".join(METRICS)}, got {about["metrics"]}'
        )
    return Data(name, **about)


def _experiment(path: Path, name: str, about: dict, data: Mapping[str, Data]) -> Experiment:
    keys = {f.name for f in fields(Experiment)} - {'name', 'data'} | {'dataset'}
    _check_keys(path, name, about, keys, OPTIONAL)
    about = dict(about)
    _check_options(path, name, about)
    dataset = about.pop('dataset')
    if dataset not in data:
        raise OptionError(f'{path}: {name}: dataset is one of {", ".join(data)}, got {dataset!r}')
    train = data[dataset].images['train']
    if about['images_seen'] % train or about['images_seen'] < train:
        below = max(about['images_seen'] // train, 1) * train
        raise OptionError(
            f'{path}: {name}: images_seen is a multiple of the {train} training images of {dataset}, such '
            f'as {below}; got {about["images_seen"]}'
        )
    if bool(about.get('pretraining')) != (about.get('pretraining_epochs', 0) > 0):
        raise OptionError(f'{path}: {name}: pretraining and pretraining_epochs come together')
    if about.get('carried') and not about.get('weights_of'):
        raise OptionError(f'{path}: {name}: carried comes with weights_of, the training that gave it')
    return Experiment(name, data=data[dataset], paper=about.pop('paper', None) or {}, **about)


def _question(path: Path, name: str, about: dict) -> Question:
    _check_keys(path, name, about, {'title', 'experiments'}, ())
    if len(set(about['experiments'])) < max(2, len(about['experiments'])):
        raise OptionError(f'{path}: {name}: experiments names two or more, each once')
    return Question(name, **about)


def _check_options(path: Path, name: str, about: Mapping) -> None:
    if fixed := sorted(FIXED & set(about.get('options') or ())):
        raise OptionError(f'{path}: {name}: options cannot set {", ".join(fixed)}: write a config for it')


def _check_keys(path: Path, name: str, about: Any, known: set[str], optional: Sequence[str]) -> None:
    about = about or {}
    unknown = sorted(set(about) - known)
    missing = sorted(known - set(about) - set(optional)) if name != 'the file' else []
    if unknown:
        near = get_close_matches(unknown[0], known, 1)
        hint = f'; did you mean {near[0]}?' if near else f'; there may be {", ".join(sorted(known))}'
        raise OptionError(f'{path}: {name} has an unknown entry {unknown[0]!r}{hint}')
    if missing:
        raise OptionError(f'{path}: {name} lacks {", ".join(missing)}')
