"""What is made of the results: JSON, the page, and the tables in other pages."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

from ...errors import OptionError
from ...paths import share
from ...zoo import ZOO
from .experiments import FILE, PARTS, Data, Question
from .results import Results
from .scores import METRICS

MARK = re.compile(
    r'(?P<start><!-- (?P<what>results|carried): (?P<names>[^>]*?) -->\n)(?P<table>.*?)'
    r'(?P<end><!-- end of (?P=what) -->)',
    re.DOTALL,
)
JSON, PAIRS, PAGE, PICTURE, SPEED = (
    'results.json',
    'comparisons.json',
    'README.md',
    'costs.png',
    'speed.json',
)
LIMITS = (0.1, 0.3, 1)  # seconds that an image may take
HEAD = f"""\
# Results

<!-- Written by tools/reproduce.py --render from runs/; a test refuses it where the logs do not give it. -->

Each figure is of the published test part, in per cent, with its 95 % interval: {{resamples:,}} bootstrap
samples of the test images. It is about the images: how much another training of the same model would
differ, only several seeds say (their number stands beside the time where there are more than one). The
epoch is selected on images of the training part that are held out; beside it the papers' protocol, which
selects on the test part and flatters, never mixed with it. Two models are called different only where the
interval of their difference, by the paired bootstrap, leaves out 0. Of the same weights, tested in two
ways, the seeds are compared that both have.

The length of a training is stated in images seen, so a slow machine gives the same figure; the time is
the clock's, whatever else the machine did.

<!-- not run: measures for minutes -->
```bash
python tools/reproduce.py --list                # what there is, and how far it is
python tools/reproduce.py NAME --dry-run        # what would run, how long it took, and what is missing
python tools/reproduce.py NAME --budget 30      # stops at the end of an epoch; the next call goes on
python tools/reproduce.py --measure             # time for an image, of all models in turns
python tools/reproduce.py --check               # do the logs give these tables?
```

[`{FILE}`]({FILE}) names the experiments; `runs/NAME/seedN` has what each run left: `run.json`
(command, commit, machine, versions), `log.csv` (loss and figures by epoch), and what was said of each test
image (`predictions.csv`, or of maps `confusions.csv`). [`{JSON}`]({JSON}) and
[`{PAIRS}`]({PAIRS}) have the figures of the tables.
"""


def render(results: Results, speed: dict | None) -> dict[Path, str]:
    """All texts that follow from the results.

    Args:
        results (Results): The results.
        speed (dict, optional): ``speed.json``, where times were measured.

    Returns:
        dict[Path, str]: Text by file: ``results.json``, ``comparisons.json``, ``README.md`` and the pages
        with marks.

    Raises:
        OptionError: If a page lacks a mark, or a mark names an unknown experiment.
    """
    folder = results.bench.folder
    texts = {
        folder / JSON: _json(results.rows),
        folder / PAIRS: _json(results.pairs),
        folder / PAGE: page(results, speed),
    }
    for readme in results.bench.readmes:
        texts[readme] = filled(readme, results, speed)
    return texts


def page(results: Results, speed: dict | None) -> str:
    """``README.md`` of the results."""
    from .statistics import RESAMPLES

    bench, parts = results.bench, [HEAD.format(resamples=RESAMPLES)]
    asked = {pair for question in bench.questions for pair in question.pairs}
    further = bench.further
    for data in dict.fromkeys(experiment.data.name for experiment in bench.experiments.values()):
        names = [name for name, each in bench.experiments.items() if each.data.name == data]
        about = bench.experiments[names[0]].data
        names = [name for name in names if name not in further]
        parts.append(f'\n## {about.title}\n\n{sizes(about)}\n\n{table(results, names, bench.folder)}')
        said = [
            compared(results, pair)
            for pair in results.pairs
            if pair['first'] in names and (pair['first'], pair['second']) not in asked
        ]
        if said:
            parts.append('\n' + ''.join(f'- {sentence}\n' for sentence in said))
    for question in bench.questions:
        parts.append(f'\n## {question.title}\n\n{answer(results, question)}')
    if results.rows:
        hours = [f'{spent / 3600:.1f} hours on {machine}' for machine, spent in results.seconds().items()]
        parts.append(f'\n## Time of all trainings\n\n{"; ".join(hours)}; by the clock.\n')
    if results.rows and speed:
        parts.append(
            f'\n## What it costs\n\n![accuracy over time, parameters and operations]({PICTURE})\n\n'
            f'{speed_table(results, speed)}'
        )
    return ''.join(parts)


def sizes(data: Data) -> str:
    """How many images the parts have."""
    sizes = [f'{data.images[part]:,} {said}' for part, said in PARTS.items() if part in data.images]
    last = '' if 'held_out' in data.images else ', after the last epoch'
    out = f' {", ".join(data.left_out).capitalize()} is out of the means.' if data.left_out else ''
    return f'{", ".join(sizes)}{last}.{out}'


def table(results: Results, names: Sequence[str], folder: Path) -> str:
    """Rows of experiments on the same data, those that have run.

    Args:
        results (Results): The results.
        names (Sequence[str]): Experiments.
        folder (Path): Of the page, for its links.

    Returns:
        str: Markdown; a sentence if none has run.
    """
    ran = [name for name in names if name in results.runs]
    experiments = results.bench.experiments
    if not ran:
        return _to_run(names, all(experiments[name].gpu for name in names))
    metrics = experiments[ran[0]].data.metrics
    published = [m for m in metrics if any(m in experiments[name].paper for name in ran)]
    heads = ['config', 'parameters', 'images seen', 'epochs', 'time', *(METRICS[m] for m in metrics)]
    heads += [f"{METRICS[metrics[0]]}, selected on the test (papers' protocol)"]
    heads += [f'paper: {METRICS[m]}' for m in published]
    lines = [heads, ['---'] * len(heads)]
    rows = {name: results.row(name, 'held-out', metrics[0]) for name in ran}
    machines = sorted({row['machine'] for row in rows.values()})
    marks = dict(zip(machines, ascii_lowercase, strict=False)) if len(machines) > 1 else {}
    for name, row in rows.items():
        config = share() / experiments[name].config
        link = os.path.relpath(config, folder)
        cells = [
            f'[{experiments[name].title}]({Path(link).as_posix()})',
            f'{row["parameters"] / 1e6:.2f} M',
            images_seen(row),
            str(row['epochs']),
            time(row) + (f' ({marks[row["machine"]]})' if marks else ''),
            *(figure(results.row(name, 'held-out', m)) for m in metrics),
            figure(results.row(name, 'paper', metrics[0])),
            *(
                f'{experiments[name].paper[m]:.2f}' if m in experiments[name].paper else ''
                for m in published
            ),
        ]
        lines.append(cells)
    text = ''.join(f'| {" | ".join(cells)} |\n' for cells in lines).replace(' --- ', '---')
    if not marks:
        return f'{text}\nMachine: {machines[0]}.\n'
    told = '; '.join(f'({mark}) {machine}' for machine, mark in marks.items())
    return f'{text}\nMachines, whose times are not to be compared: {told}.\n'


def _to_run(names: Sequence[str], gpu: bool = False) -> str:
    where = ', for it takes a CUDA GPU' if gpu else ''
    return f'None has run yet{where}: `python tools/reproduce.py {" ".join(names)}`\n'


def answered(results: Results, question: Question) -> list[dict]:
    """Of the experiments of a question that have run the figures, with the difference from the first; none
    where there is nothing to compare yet."""
    first, *others = question.experiments
    if first not in results.runs or not results.runs.keys() & set(others):
        return []
    metric = results.bench.experiments[first].data.metrics[0]
    pairs = {(pair['first'], pair['second']): pair for pair in results.pairs}
    return [
        results.row(name, 'held-out', metric)
        | dict(title=results.bench.experiments[name].title, pair=pairs.get((name, first)))
        for name in (first, *others)
        if name in results.runs
    ]


def answer(results: Results, question: Question) -> str:
    """What the experiments of a question say: picture and table; how to run them if they have not."""
    rows, data = answered(results, question), results.bench.experiments[question.experiments[0]].data
    if not rows:
        return 'Not answered yet: `python tools/reproduce.py ' + ' '.join(question.experiments) + '`\n'
    metric = METRICS[data.metrics[0]]
    lines = [
        f'{data.title}. The last column is the difference from the first row, by the paired bootstrap.\n\n'
        f'![{metric} of each, with its interval]({question.name}.png)\n\n'
        f'| model | parameters | images seen | time | {metric} | difference |\n|---|---|---|---|---|---|\n'
    ]
    for row in rows:
        said = ''
        if row['pair']:
            low, high = row['pair']['ci95']
            said = f'{row["pair"]["difference"]:+.2f} [{low:+.2f}, {high:+.2f}]'
        lines.append(
            f'| {row["title"]} | {row["parameters"] / 1e6:.2f} M | {images_seen(row)} '
            f'| {time(row)} | {figure(row)} | {said} |\n'
        )
    return ''.join(lines)


def images_seen(row: dict) -> str:
    """How many images a training saw, and how many its pre-training before it."""
    before = row.get('pretraining_images')
    return f'{row["images_seen"]:,}' + (f' after {before:,} of a pre-training' if before else '')


def time(row: dict) -> str:
    """What a training took, and of how many seeds that is the mean."""
    return f'{row["seconds"] / 60:.0f} min' + (f', {row["seeds"]} seeds' if row['seeds'] > 1 else '')


def figure(row: dict) -> str:
    """A figure with its interval, and its spread over seeds."""
    spread = '' if row['std'] is None else f' ± {row["std"]:.2f}'
    return f'{row["mean"]:.2f}{spread} [{row["ci95"][0]:.2f}, {row["ci95"][1]:.2f}]'


def compared(results: Results, pair: dict) -> str:
    """A pair of models in words: better only where the interval says so."""
    first, second = (results.bench.experiments[pair[key]].title for key in ('first', 'second'))
    low, high = pair['ci95']
    interval = f'{pair["difference"]:+.2f} points of {METRICS[pair["metric"]]} [{low:+.2f}, {high:+.2f}]'
    if pair['better'] is None:
        return f'{first} and {second}: no difference shown ({interval}).'
    better, other = (first, second) if pair['better'] == pair['first'] else (second, first)
    return f'{better} is better than {other} ({first} − {second}: {interval}).'


def speed_table(results: Results, speed: dict) -> str:
    """Measured times and counted costs of the models that have run."""
    lines = [
        f'One image at a time on {speed["machine"]}, the models in turns, median of {speed["repeats"]} '
        'and the range of all. The picture adds multiply-adds and operations of scans. '
        f'`python tools/reproduce.py --measure`, commit {speed["commit"]}.\n\n',
        '| model | data | time | parameters | multiply-adds | scans |\n|---|---|---|---|---|---|\n',
    ]
    for name in results.measured(speed):
        each, about = speed['models'][name], results.bench.experiments[name]
        low, high = each['range']
        lines.append(
            f'| {about.title} | {about.data.title} '
            f'| {each["milliseconds"]:.1f} ms ({low:.1f} … {high:.1f}) '
            f'| {each["parameters"] / 1e6:.2f} M | {each["multiply_adds"] / 1e9:.2f} G '
            f'| {each["scans"] / 1e9:.2f} G |\n'
        )
    return ''.join(lines) + '\n' + ''.join(f'- {said}\n' for said in best_in_time(results, speed))


def best_in_time(results: Results, speed: dict) -> list[str]:
    """Which model is best where an image may take so long, a sentence for each data set and answer."""
    experiments, said = results.bench.experiments, []
    measured = {
        name: speed['models'][name]['milliseconds']
        for name in results.measured(speed)
        if not experiments[name].carried
    }
    for data in dict.fromkeys(experiments[name].data.title for name in measured):
        answers: dict[tuple[str, ...], list[str]] = {}
        for limit in LIMITS:
            names = [
                name
                for name, milliseconds in measured.items()
                if experiments[name].data.title == data and milliseconds <= 1000 * limit
            ]
            answers.setdefault(tuple(names), []).append(f'{limit:g} s')
        for names, limits in answers.items():
            if not names:
                continue
            best, equal = results.best(names)
            metric = experiments[best].data.metrics[0]
            mean = results.row(best, 'held-out', metric)['mean']
            sentence = (
                f'{data}, in at most {_listed(limits)} an image: {experiments[best].title} has the highest '
                f'{METRICS[metric]} of the {len(names)} in time, {mean:.2f}'
            )
            if equal:
                sentence += f', not told apart from {_listed([experiments[name].title for name in equal])}'
            said.append(f'{sentence}.')
    return said


def _listed(words: Sequence[str]) -> str:
    return ' and '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def carried_table(results: Results, speed: dict | None, names: Sequence[str], folder: Path) -> str:
    """The models that the package carries, by the experiments that tested them.

    Args:
        results (Results): The results.
        speed (dict, optional): ``speed.json``, where times were measured.
        names (Sequence[str]): Experiments.
        folder (Path): Of the page, for its links.

    Returns:
        str: Markdown; a sentence if none has run.

    Raises:
        OptionError: If one tests no model of the package.
    """
    ran = [name for name in names if name in results.runs]
    if not ran:
        return _to_run(names)
    lines = ['| model | data | parameters | an image in | figure |\n|---|---|---|---|---|\n']
    for name in ran:
        each = results.bench.experiments[name]
        if not each.carried:
            raise OptionError(f'{name} tests no model of the package: name one that has `carried`')
        metric = each.data.metrics[0]
        row = results.row(name, 'held-out', metric)
        card = Path(os.path.relpath(ZOO / each.carried / 'README.md', folder)).as_posix()
        measured = speed and speed['models'].get(name)
        taken = f'{measured["milliseconds"]:.0f} ms' if measured else ''
        lines.append(
            f'| [`{each.carried}`]({card}) | {each.data.title} | {row["parameters"] / 1e6:.2f} M | {taken} '
            f'| {METRICS[metric]} {figure(row)} |\n'
        )
    return ''.join(lines)


def filled(readme: Path, results: Results, speed: dict | None = None) -> str:
    """A page with the tables between its marks written anew.

    Raises:
        OptionError: If it has no mark, or one that names an unknown experiment.
    """
    text = readme.read_text(encoding='utf-8')
    if not MARK.search(text):
        raise OptionError(f'{readme} has no <!-- results: NAME … --> … <!-- end of results -->')

    def fill(found: re.Match) -> str:
        names = found['names'].split()
        results.bench.find(names)
        if found['what'] == 'carried':
            made = carried_table(results, speed, names, readme.parent)
        else:
            made = table(results, names, readme.parent)
        return f'{found["start"]}{made}{found["end"]}'

    return MARK.sub(fill, text)


def _json(rows: list[dict]) -> str:
    """A row in some lines, lists in one: readable, and a change is seen in a diff."""
    text = json.dumps(rows, indent=2)
    return re.sub(r'\[\s+(-?[\d.]+),\s+(-?[\d.]+)\s+\]', r'[\1, \2]', text) + '\n'
