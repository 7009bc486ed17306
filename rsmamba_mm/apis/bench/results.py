"""Figures of the finished runs, with intervals; and which models differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import OptionError
from .experiments import Bench, Experiment
from .journal import select
from .runs import PROTOCOLS, RUN, Run, read_run
from .scores import score
from .statistics import Sample, difference, sample


class Results:
    """What the runs that are kept say.

    Args:
        bench (Bench): Where they are kept.

    Attributes:
        runs (dict[str, list[Run]]): Of each experiment that has run, those of the seeds 0, 1, ….
        rows (list[dict]): ``results.json``: of each such experiment, protocol and metric a figure.
        pairs (list[dict]): ``comparisons.json``: of each pair that has run the difference.

    Raises:
        OptionError: If a run is not of the experiment that it is kept for, or its files contradict one
            another; the message names file and figure.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.runs = {name: runs for name in bench.experiments if (runs := self._runs(name))}
        self._samples = {
            (name, protocol): _sample(bench.experiments[name], runs, protocol)
            for name, runs in self.runs.items()
            for protocol in PROTOCOLS
        }
        self.rows = [
            self._row(bench.experiments[name], runs, protocol, metric)
            for name, runs in self.runs.items()
            for protocol in PROTOCOLS
            for metric in bench.experiments[name].data.metrics
        ]
        self.pairs = [self._pair(*pair) for pair in bench.compared if set(pair) <= set(self.runs)]

    def row(self, name: str, protocol: str, metric: str) -> dict[str, Any]:
        """The figure of an experiment that has run."""
        wanted = name, protocol, metric
        return next(
            row for row in self.rows if (row['experiment'], row['protocol'], row['metric']) == wanted
        )

    def measured(self, speed: dict | None) -> list[str]:
        """Experiments that are reported by themselves, have run, and whose models were measured."""
        models = (speed or {}).get('models', {})
        return [name for name in self.bench.costed if name in self.runs and name in models]

    def seconds(self) -> dict[str, float]:
        """Time of all trainings by machine; a pre-training that several start from is counted once."""
        spent: dict[str, float] = {}
        before: dict[tuple, tuple[str, float]] = {}
        for name, runs in self.runs.items():
            if self.bench.experiments[name].weights_of:
                continue
            for run in runs:
                machine, start = run.about['machine'], run.about.get('pretraining')
                spent[machine] = spent.get(machine, 0.0) + run.about['seconds']
                if start is not None:
                    key = start['config'], start['epochs'], run.about['seed']
                    before[key] = machine, start['seconds']
        for machine, seconds in before.values():
            spent[machine] += seconds
        return spent

    def best(self, names: Sequence[str]) -> tuple[str, list[str]]:
        """The highest of some experiments that have run on the same data, by the selecting metric, and the
        others that are not shown to be lower."""
        metric = self.bench.experiments[names[0]].data.metrics[0]
        best = max(names, key=lambda name: self.row(name, 'held-out', metric)['mean'])
        others = (name for name in names if name != best)
        return best, [name for name in others if self._pair(best, name)['better'] is None]

    def _runs(self, name: str) -> list[Run]:
        experiment, runs = self.bench.experiments[name], []
        while ((folder := self.bench.run_folder(experiment, len(runs))) / RUN).is_file():
            run = read_run(folder)
            _verify(experiment, len(runs), run)
            runs.append(run)
        others = {tuple(run.images) for run in runs}
        if len(others) > 1:
            raise OptionError(f'{name}: its seeds were tested on different images')
        return runs

    def _row(self, experiment: Experiment, runs: Sequence[Run], protocol: str, metric: str) -> dict:
        counted = _counted(experiment, runs[0])
        mean, low, high = self._samples[experiment.name, protocol][metric].estimate
        by_seed = [float(score(run.counts[protocol].sum(0), metric, counted)) for run in runs]
        about, seeds = runs[0].about, len(runs)
        before = [run.about.get('pretraining') for run in runs]
        row = dict(
            experiment=experiment.name,
            dataset=experiment.data.name,
            protocol=protocol,
            metric=metric,
            paper=experiment.paper.get(metric),
            mean=round(mean, 2),
            std=round(float(np.std(by_seed, ddof=1)), 2) if seeds > 1 else None,
            ci95=[round(low, 2), round(high, 2)],
            seeds=seeds,
            parameters=about['parameters'],
            epochs=about['epochs'],
            images_seen=about['images_seen'],
            machine=' and '.join(dict.fromkeys(run.about['machine'] for run in runs)),
            seconds=round(float(np.mean([total_seconds(run) for run in runs])), 1),
            command=f'python tools/reproduce.py {experiment.name}'
            + (f' --seeds {seeds}' if seeds > 1 else ''),
            commit=about['commit'],
        )
        return row if before[0] is None else row | dict(pretraining_images=before[0]['images_seen'])

    def _compared(self, names: Sequence[str], protocol: str) -> list[dict[str, Sample]]:
        """What is compared of some experiments: all seeds, but of the same weights, tested in several ways,
        those that all have."""
        experiments = self.bench.find(names)
        if len({each.weights_of or each.name for each in experiments}) > 1:
            return [self._samples[name, protocol] for name in names]
        seeds = min(len(self.runs[name]) for name in names)
        return [_sample(each, self.runs[each.name][:seeds], protocol) for each in experiments]

    def _pair(self, first: str, second: str) -> dict:
        """The difference of two models by the selecting metric, both selected on the held-out part."""
        protocol, metric = 'held-out', self.bench.experiments[first].data.metrics[0]
        runs = self.runs[first], self.runs[second]
        if runs[0][0].images != runs[1][0].images:
            raise OptionError(f'{first} and {second} were tested on different images, or in another order')
        one, other = (each[metric] for each in self._compared((first, second), protocol))
        mean, low, high = difference(one, other)
        low, high = round(low, 2), round(high, 2)
        return dict(
            first=first,
            second=second,
            protocol=protocol,
            metric=metric,
            difference=round(mean, 2),
            ci95=[low, high],
            better=first if low > 0 else second if high < 0 else None,
        )


def total_seconds(run: Run) -> float:
    """Time of a training, with the pre-training before it."""
    return run.about['seconds'] + (run.about.get('pretraining') or dict(seconds=0))['seconds']


def _sample(experiment: Experiment, runs: Sequence[Run], protocol: str) -> dict[str, Sample]:
    counts = [run.counts[protocol] for run in runs]
    return sample(counts, experiment.data.metrics, _counted(experiment, runs[0]))


def _counted(experiment: Experiment, run: Run) -> np.ndarray:
    return np.array([name not in experiment.data.left_out for name in run.about['classes']])


def _verify(experiment: Experiment, seed: int, run: Run) -> None:
    """Refuse a run of another experiment, and one whose files contradict one another."""
    expected = dict(
        experiment=experiment.name,
        config=experiment.config,
        dataset=experiment.data.name,
        seed=seed,
        epochs=experiment.epochs,
        images_seen=experiment.images_seen,
        options=dict(experiment.options) or None,
        selected={protocol: select(run.log, part) for protocol, part in PROTOCOLS.items()},
    )
    expected |= {
        key: run.log[-1][key] for key in ('epochs', 'images_seen', 'seconds') if key in run.log[-1]
    }
    for key, value in expected.items():
        if run.about.get(key) != value:
            raise OptionError(f'{run.folder / RUN}: {key} is {run.about.get(key)!r}, not {value!r}')
    if len(run.images) != experiment.data.images['test']:
        raise OptionError(
            f'{run.folder}: {len(run.images)} test images, not {experiment.data.images["test"]}'
        )
    metric, counted = experiment.data.metrics[0], _counted(experiment, run)
    logged = {row['epoch']: row['test'] for row in run.log}
    for protocol, epoch in run.about['selected'].items():
        found = float(score(run.counts[protocol].sum(0), metric, counted))
        if abs(found - logged[epoch]) > 1e-3:
            raise OptionError(
                f'{run.folder}: {metric} of the test part after epoch {epoch} is {logged[epoch]} in '
                f'log.csv, but {found:.4f} by the predictions ({protocol})'
            )
