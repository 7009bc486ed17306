"""The bench: runs that are cut and go on, figures with intervals, and tables that the logs give or not."""

import gc
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_miniature import add_run, make_bench, train_here
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, TRANSFORMS, DefaultScope

from rsmamba_mm import zoo
from rsmamba_mm.apis import publish_model
from rsmamba_mm.apis.bench import pages, running
from rsmamba_mm.apis.bench.checking import check_results, write_results
from rsmamba_mm.apis.bench.experiments import read_bench
from rsmamba_mm.apis.bench.hooks import SELECTED, BenchHook
from rsmamba_mm.apis.bench.journal import Journal
from rsmamba_mm.apis.bench.pages import best_in_time
from rsmamba_mm.apis.bench.results import Results
from rsmamba_mm.errors import MissingDataError, OptionError

KEYS = [
    'experiment', 'dataset', 'protocol', 'metric', 'paper', 'mean', 'std', 'ci95', 'seeds', 'parameters',
    'epochs', 'images_seen', 'machine', 'seconds', 'command', 'commit',
]  # fmt: skip


@pytest.fixture
def bench(root, tmp_path, monkeypatch):
    monkeypatch.setenv('RSMAMBA_DATA', str(tmp_path / 'data'))
    monkeypatch.setattr(running, 'train', train_here)
    return make_bench(root, tmp_path)


class Cut(Exception):
    """What ends a process."""


def cut(method: str, epoch: int):
    """A method of the hook that ends the process in an epoch, once."""
    own, ended = getattr(BenchHook, method), []

    def called(self, runner, *args, **kwargs):
        if runner.epoch == epoch and not ended:
            ended.append(True)
            raise Cut
        own(self, runner, *args, **kwargs)

    return called


def train_an_epoch(config: Path, folder: Path, deadline: float | None = None) -> None:
    """In place of ``running.train``: the time is over before a second epoch."""
    train_here(config, folder, 0.0)


def run(bench, work: Path) -> tuple[list, dict, dict]:
    """Train ``small`` to its end, however often it is cut; its log, predictions and last checkpoint."""
    calls, done = 0, False
    while not done:
        try:
            done = running.run_experiments(bench, [bench.experiments['small']], work=work, say=str)
        except Cut:
            gc.collect()  # as the end of a process does, it gives back the folder's lock
        calls += 1
        assert calls < 9
    folder = work / 'small/seed0'
    log = [{**row, 'seconds': None} for row in Journal(folder).rows]
    judged = {path.name: dict(np.load(path)) for path in sorted((folder / 'predictions').iterdir())}
    return log, judged, torch.load(folder / 'epoch_4.pth', weights_only=False)['state_dict']


@pytest.mark.slow
def test_a_run_that_was_cut_gives_the_same_figures(bench, tmp_path, monkeypatch):
    log, judged, weights = run(bench, tmp_path / 'whole')
    assert [row['test'] is not None for row in log] == [False, True, False, True]
    assert list(judged) == ['epoch_002.npz', 'epoch_004.npz']
    kept = bench.run_folder(bench.experiments['small'], 0)
    predictions = (kept / 'predictions.csv').read_bytes()
    again = 'images_seen: 32, weights_of: small, options: {model: {backbone: {eval_shuffles: 2}}}}'
    replace(tmp_path / 'experiments.yml', 'images_seen: 32}', again)
    other = (retested := read_bench(tmp_path)).experiments['other']
    assert running.run_experiments(retested, [other], work=tmp_path / 'whole', say=str)
    about = json.loads((retested.run_folder(other, 0) / 'run.json').read_text())
    assert about['epochs'] == 4 and about['options']['model']['backbone'] == dict(eval_shuffles=2)
    Results(retested)
    with pytest.raises(
        OptionError, match=r'tests the weights of small, seed 0, which are not here: .*selec'
    ):
        shutil.rmtree(retested.run_folder(other, 0))
        running.run_experiments(retested, [other], work=tmp_path / 'elsewhere', say=str)
    check_of_a_carried_model(bench, tmp_path, again, monkeypatch)
    for where in ('in an epoch', 'by the budget'):
        shutil.rmtree(kept)
        with monkeypatch.context() as patch:
            if where == 'in an epoch':
                patch.setattr(BenchHook, 'after_train_iter', cut('after_train_iter', 2))
            else:
                patch.setattr(running, 'train', train_an_epoch)
            again, others, state = run(bench, tmp_path / where)
        assert again == log, where
        for name, arrays in judged.items():
            assert all((others[name][key] == array).all() for key, array in arrays.items()), where
        assert all(torch.equal(state[name], tensor) for name, tensor in weights.items()), where
        assert (kept / 'predictions.csv').read_bytes() == predictions


def test_rows_and_pages_follow_from_the_runs(bench, tmp_path):
    write_results(bench)
    assert json.loads((tmp_path / 'results.json').read_text()) == []
    assert 'None has run yet' in (tmp_path / 'page.md').read_text()
    add_run(bench, 'small', 20, tmp_path / 'work')
    add_run(bench, 'other', 19, tmp_path / 'work')
    write_results(bench)
    check_results(bench)
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert [list(row) for row in rows] == [KEYS] * 8  # two experiments, protocols and metrics each
    accuracy = next(row for row in rows if row['metric'] == 'accuracy')
    assert (accuracy['mean'], accuracy['paper'], accuracy['std']) == (83.33, 90.5, None)
    assert accuracy['ci95'][0] < 83.33 < accuracy['ci95'][1]
    assert (accuracy['epochs'], accuracy['images_seen'], accuracy['seconds']) == (4, 32, 140.0)
    assert accuracy['command'] == 'python tools/reproduce.py small'
    page = (tmp_path / 'page.md').read_text()
    assert page.startswith('Before\n') and page.endswith('<!-- end of results -->\n\nAfter\n')
    assert '| [Small](scenes.py) | 0.00 M | 32 | 4 | 2 min |' in page and '90.50' in page
    assert 'Small and Other: no difference shown (+' in (tmp_path / 'README.md').read_text()


def test_better_is_said_where_the_interval_says_so(bench, tmp_path):
    add_run(bench, 'small', 4, tmp_path / 'work')
    add_run(bench, 'other', 22, tmp_path / 'work')
    (pair,) = Results(bench).pairs
    assert pair['better'] == 'other' and pair['ci95'][1] < 0
    write_results(bench)
    assert 'Other is better than Small (Small − Other: -' in (tmp_path / 'README.md').read_text()


def test_a_question_has_a_table_and_a_picture(bench, tmp_path):
    add_run(bench, 'small', 12, tmp_path / 'work')
    write_results(bench)
    add_run(bench, 'third', 22, tmp_path / 'work')
    write_results(bench)
    page = (tmp_path / 'README.md').read_text()
    scenes, question = page.split('## Is the third better?')
    assert 'Third' not in scenes and '![macro F1 of each, with its interval](third.png)' in question
    first, third = (line for line in question.splitlines() if line.startswith(('| Small', '| Third')))
    assert first.endswith('|  |') and re.search(r'\| \+41\.\d\d \[\+2', third), third
    check_results(bench)
    add_run(bench, 'third', 21, tmp_path / 'work')
    with pytest.raises(OptionError, match=r'third\.png was not drawn from these figures'):
        check_results(bench)
    replace(tmp_path / 'experiments.yml', '[small, third]', '[small]')
    with pytest.raises(OptionError, match='third: experiments names two or more, each once'):
        read_bench(tmp_path)


def test_the_best_model_in_time(bench, tmp_path):
    add_run(bench, 'small', 20, tmp_path / 'work')
    add_run(bench, 'other', 21, tmp_path / 'work')
    speed = dict(models=dict(small=dict(milliseconds=250.0), other=dict(milliseconds=700.0)))
    first, second = best_in_time(Results(bench), speed)
    assert 'in at most 0.3 s an image: Small has the highest macro F1 of the 1 in time, 83.28.' in first
    assert 'in at most 1 s an image: Other has' in second and second.endswith('not told apart from Small.')


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new, 1))


KEPT = 'runs/small/seed0'
FALSE = [  # file, what stands in it, what does not follow from the logs, and what is said of it
    ('results.json', '"mean": 83.33', '"mean": 93.33', r'small, held-out, accuracy: mean is 93\.33'),
    ('results.json', '"seeds": 1', '"seeds": 5', r'small, .*macro_f1: seeds is 5, the logs give 1'),
    ('README.md', '83.33 [', '99.99 [', r"README\.md: line \d+ is '.*99\.99 \[.*the logs give"),
    ('README.md', 'no difference shown', 'Small is better', r"line \d+ is '- Small and Other: Small is"),
    ('page.md', '83.33 [', '99.99 [', r'page\.md: line 6 is'),
    ('comparisons.json', '"better": null', '"better": "small"', r"small, other, .*better is 'small'"),
    (f'{KEPT}/log.csv', '50.0,83.28', '50.0,93.28', r'of the test part after epoch 2 is 93\.28'),
    (f'{KEPT}/run.json', '"images_seen": 32', '"images_seen": 8', r'images_seen is 8, not 32'),
    (f'{KEPT}/run.json', '"held-out": 2', '"held-out": 4', r"selected is \{'held-out': 4"),
    (f'{KEPT}/predictions.csv', '0.png,a,a,a', '0.png,a,b,a', r'but [\d.]+ by the predictions'),
    (f'{KEPT}/predictions.csv', '0.png,a,a,a\n', '', r'23 test images, not 24'),
    (f'{KEPT}/predictions.csv', '0.png,a,a,a', '0.png,a,x,a', r"no whole run: KeyError: 'x'"),
]


def test_what_the_logs_do_not_give_is_refused(bench, tmp_path):
    add_run(bench, 'small', 20, tmp_path / 'work')
    add_run(bench, 'other', 19, tmp_path / 'work')
    write_results(bench)
    for file, true, false, said in FALSE:
        whole = (tmp_path / file).read_bytes()
        replace(tmp_path / file, true, false)
        with pytest.raises((OptionError, MissingDataError), match=said):
            check_results(bench)
        (tmp_path / file).write_bytes(whole)
    check_results(bench)


def test_another_number_of_images_is_refused(bench, tmp_path):
    replace(tmp_path / 'experiments.yml', 'held_out: 12', 'held_out: 11')
    with pytest.raises(OptionError, match=r'not that of the bench.*: held_out has 12, not 11 images'):
        run(read_bench(tmp_path), tmp_path / 'work')


def test_without_held_out_images_the_last_epoch_is_judged(bench, tmp_path):
    replace(tmp_path / 'experiments.yml', 'held_out: 12, ', '')
    bench = read_bench(tmp_path)
    with pytest.raises(OptionError, match='held_out has 12, not 24 images'):
        running.run_experiments(bench, [bench.experiments['small']], work=tmp_path / 'work', say=str)
    replace(tmp_path / 'scenes.py', 'num_images=12', 'num_images=24')
    running.run_experiments(bench, [bench.experiments['small']], work=tmp_path / 'work', say=str)
    (run,) = Results(bench).runs['small']
    assert run.about['selected'] == {'held-out': 4, 'paper': 4}
    assert [row['epoch'] for row in run.log if row['test'] is not None] == [4]
    write_results(bench)
    assert '8 images to train, 24 to test, after the last epoch.' in (tmp_path / 'README.md').read_text()


def test_the_budget_and_the_settings_of_a_run(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(running, 'train', train_an_epoch)
    said, small = [], bench.experiments['small']
    assert not running.run_experiments(bench, [small], work=tmp_path / 'work', say=said.append)
    assert said[-1] == 'small, seed 0: stopped at epoch 1 of 4: call again to go on'
    assert not running.run_experiments(bench, [small], budget=1e-9, work=tmp_path / 'work', say=said.append)
    assert re.fullmatch(
        r'small, seed 0: no time left for an epoch \(\d+ s\): call again to go on', said[-1]
    )
    replace(tmp_path / 'experiments.yml', 'images_seen: 32', 'images_seen: 16')
    with pytest.raises(OptionError, match=r'has a run of other settings.*remove the folder to begin anew'):
        run(read_bench(tmp_path), tmp_path / 'work')


@pytest.mark.slow
def test_options_of_every_experiment_build(root, tmp_path):
    """Before a queue of hours is stopped by one of them."""
    experiments = read_bench(root / 'docs/results').experiments.values()
    for experiment in (each for each in experiments if each.options or each.pretraining):
        config = Config.fromfile(running.derive_config(experiment, 0, tmp_path / experiment.name, tmp_path))
        assert '_delete_' not in config.pretty_text
        with DefaultScope.overwrite_default_scope(config.default_scope):
            model = MODELS.build(config.model)
            assert build_optim_wrapper(model, config.optim_wrapper)
            assert all(HOOKS.build(hook) for hook in config.custom_hooks)
            assert all(map(TRANSFORMS.build, config.train_dataloader.dataset.pipeline))


@pytest.mark.slow
def test_trainings_at_full_size_are_those_of_their_configs(root):
    bench = read_bench(root / 'docs/results')
    large = [each for each in bench.experiments.values() if each.gpu]
    assert {each.data.name for each in large} == {'ucmerced-224px', 'aid', 'resisc45', 'loveda'}
    for each in large:
        assert each.epochs == Config.fromfile(root / each.config).train_cfg.max_epochs, each.name
    assert not {each.name for each in large} & set(bench.costed)  # --measure is for any machine


def test_seeds_on_two_machines_are_said_to_be(bench, tmp_path):
    first = add_run(bench, 'small', 20, tmp_path / 'work')
    path = shutil.copytree(first, bench.run_folder(bench.experiments['small'], 1)) / 'run.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(seed=1, machine='another one')))
    assert Results(bench).row('small', 'held-out', 'macro_f1')['machine'] == 'a machine and another one'


def test_the_same_weights_are_compared_seed_by_seed(bench, tmp_path):
    replace(tmp_path / 'experiments.yml', 'title: Other,', 'title: Other, weights_of: small,')
    bench = read_bench(tmp_path)
    path = shutil.copytree(add_run(bench, 'small', 4, tmp_path / 'work'), tmp_path / 'seed1') / 'run.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(seed=1)))
    for name in ('small', 'other'):
        add_run(bench, name, 20, tmp_path / 'work')
    shutil.copytree(path.parent, bench.run_folder(bench.experiments['small'], 1))
    results = Results(bench)
    assert results.row('small', 'held-out', 'macro_f1')['mean'] < 60  # of two seeds
    assert results.pairs[0]['difference'] == 0 and results.pairs[0]['ci95'] == [0, 0]


def test_time_of_all_trainings(bench, tmp_path):
    """A pre-training that two start from counts once, and what tests weights again takes none."""
    replace(tmp_path / 'experiments.yml', 'title: Other,', 'title: Other, weights_of: small,')
    bench = read_bench(tmp_path)
    for name in ('small', 'other', 'third'):
        add_run(bench, name, 20, tmp_path / 'work')
    for name in ('small', 'third'):
        path = bench.run_folder(bench.experiments[name], 0) / 'run.json'
        start = dict(config='start.py', epochs=2, images_seen=16, seconds=1000.0, loss=1.0)
        path.write_text(json.dumps(json.loads(path.read_text()) | dict(pretraining=start)))
    results = Results(bench)
    assert results.seconds() == {'a machine': 2 * 140 + 1000}
    assert '## Time of all trainings\n\n0.4 hours on a machine; by the clock.\n' in pages.page(
        results, None
    )


def test_hooks_of_an_experiment_are_added(bench, tmp_path):
    hooks = 'custom_hooks: [{type: EMAHook, momentum: 0.02}]'
    replace(tmp_path / 'experiments.yml', 'images_seen: 32}', f'images_seen: 32, options: {{{hooks}}}}}')
    config = Config.fromfile(
        running.derive_config(read_bench(tmp_path).experiments['other'], 0, tmp_path / 'work', tmp_path)
    )
    types = [hook.type for hook in config.custom_hooks]
    assert types[-2:] == ['EMAHook', 'BenchHook'] and 'CheckClassesHook' in types


def test_options_of_the_data_and_of_the_experiment_reach_the_training(bench, tmp_path):
    stem = 'model: {backbone: {stem: {widths: [8, 16]}, local_kernel: 3}}'
    replace(tmp_path / 'experiments.yml', 'images_seen: 32}', f'images_seen: 32, options: {{{stem}}}}}')
    replace(
        tmp_path / 'experiments.yml',
        '    size: 64\n',
        '    size: 64\n    options: {train_cfg: {val_interval: 4}}\n',
    )
    (tmp_path / 'work').mkdir()
    bench = read_bench(tmp_path)
    config = Config.fromfile(
        running.derive_config(bench.experiments['other'], 3, tmp_path / 'work/other', tmp_path / 'work')
    )
    assert config.model.backbone.stem == dict(widths=[8, 16]) and config.model.backbone.img_size == 64
    assert (config.randomness.seed, config.train_cfg.max_epochs, config.train_cfg.val_interval) == (3, 4, 4)
    assert [hook.type for hook in config.custom_hooks].count('BenchHook') == 1
    kept = add_run(bench, 'other', 20, tmp_path / 'work')
    assert json.loads((kept / 'run.json').read_text())['options']['model']['backbone']['local_kernel'] == 3
    replace(tmp_path / 'experiments.yml', 'local_kernel: 3', 'local_kernel: 5')
    with pytest.raises(
        OptionError, match=r"other.seed0.run.json: options is .*'local_kernel': 3.*not .*: 5"
    ):
        Results(read_bench(tmp_path))


def check_of_a_carried_model(bench, tmp_path, again, monkeypatch):
    """The weights of 16 bits are those that are tested, and the table names them."""
    folder = tmp_path / 'whole/small/seed0'
    published = publish_model(str(folder.with_suffix('.py')), str(folder / SELECTED), tmp_path, half=True)
    (tmp_path / 'zoo').mkdir()
    published.rename(tmp_path / 'zoo' / 'mine')
    monkeypatch.setattr(zoo, 'ZOO', tmp_path / 'zoo')
    page = tmp_path / 'page.md'
    page.write_text('<!-- carried: other -->\n<!-- end of carried -->\n')
    assert 'None has run yet' in pages.filled(page, Results(bench))
    small = page.with_name('small.md')
    small.write_text('<!-- carried: small -->\n<!-- end of carried -->\n')
    with pytest.raises(OptionError, match='small tests no model of the package'):
        pages.filled(small, Results(bench))
    replace(tmp_path / 'experiments.yml', again, 'images_seen: 32, weights_of: small, carried: mine}')
    carried = read_bench(tmp_path)
    shutil.rmtree(tmp_path / 'whole/other')
    assert running.run_experiments(
        carried, [carried.experiments['other']], work=tmp_path / 'whole', say=str
    )
    speed = dict(models=dict(other=dict(milliseconds=4.6)))
    filled = pages.filled(page, Results(carried), speed)
    assert re.search(r'\| \[`mine`\]\(.*\) \| Drawn scenes \| .* \| 5 ms \| macro F1 \d', filled)


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        (
            'images_seen: 32',
            'images_seen: 30',
            r'small: images_seen is a multiple of the 8 .* such as 24; got 30',
        ),
        ('dataset: scenes', 'dataset: maps', r"small: dataset is one of scenes, got 'maps'"),
        ('accuracy]', 'top1]', r'scenes: metrics are some of macro_f1, .*top1'),
        ('fetch:', 'fetsh:', r"scenes has an unknown entry 'fetsh'; did you mean fetch\?"),
        ('    size: 64\n', '', 'scenes lacks size'),
        ('- [small, other]', '- [smal, other]', r"no experiment 'smal' in .*; did you mean small\?"),
        (
            'images_seen: 32}',
            'images_seen: 32, options: {randomness: {seed: 1}}}',
            'other: options cannot set randomness: write a config for it',
        ),
        (
            'images_seen: 32}',
            'images_seen: 16, weights_of: small}',
            'other: weights_of names an experiment',
        ),
        (
            'images_seen: 32}',
            'images_seen: 32, carried: small}',
            'other: carried comes with weights_of',
        ),
        ('train: 8, ', '', 'scenes: images has a number for each of train, held_out, test'),
    ],
)
def test_experiments_are_refused_in_words(bench, tmp_path, old, new, said):
    replace(tmp_path / 'experiments.yml', old, new)
    with pytest.raises(OptionError, match=said):
        read_bench(tmp_path)


@pytest.mark.slow
def test_a_pretraining_comes_first_and_serves_all_that_start_from_it(bench, root, tmp_path, monkeypatch):
    pretraining = f"""
_base_ = '{root}/configs/roma/roma-mini_synthetic-96px.py'
model = dict(backbone=dict(arch=dict(embed_dims=16), img_size=64), neck=dict(in_channels=[16]),
    head=dict(block_loss='none'))
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False,
    dataset=dict(num_images=8, img_size=64))
train_dataloader['dataset']['pipeline'] = [dict(type='PackInputs')]
"""
    probe = f"""
_base_ = '{root}/configs/roma/clustermamba-mini_linear_synthetic-96px.py'
model = dict(backbone=dict(arch=dict(embed_dims=16), img_size=64), neck=dict(input_features=16),
    head=dict(in_channels=16))
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False,
    dataset=dict(num_images=8, img_size=64))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(num_images=12, img_size=64))
test_dataloader = dict(num_workers=0, dataset=dict(num_images=24, img_size=64))
"""
    for name, text in dict(pretraining=pretraining, probe=probe).items():
        (tmp_path / f'{name}.py').write_text(text)
    about = f'config: {tmp_path}/probe.py, pretraining: {tmp_path}/pretraining.py, pretraining_epochs: 2'
    replace(
        tmp_path / 'experiments.yml',
        'experiments:\n',
        f'experiments:\n  probe: {{title: Probe, {about}, dataset: scenes, images_seen: 16}}\n',
    )
    bench, work = read_bench(tmp_path), tmp_path / 'work'
    probe, said = bench.experiments['probe'], []
    monkeypatch.setattr(running, 'train', train_an_epoch)
    assert not running.run_experiments(bench, [probe], work=work, say=said.append)
    assert said[-1] == 'probe, seed 0: stopped at epoch 1 of 2 of its pre-training: call again'
    monkeypatch.setattr(running, 'train', train_here)
    assert running.run_experiments(bench, [probe], work=work, say=said.append)
    pretrained = work / 'pretraining/pretraining-2-epochs/seed0/pretrained.pth'
    begun = torch.load(pretrained, weights_only=False)['state_dict']
    ended = torch.load(work / 'probe/seed0/epoch_2.pth', weights_only=False)['state_dict']
    weight = 'backbone.layers.0.mixer.in_proj.weight'  # of the frozen encoder
    assert torch.equal(begun[weight], ended[weight])
    kept = json.loads((bench.run_folder(probe, 0) / 'run.json').read_text())['pretraining']
    assert (kept['epochs'], kept['images_seen']) == (2, 16) and kept['seconds'] > 0
    (row,) = (
        row for row in Results(bench).rows if row['metric'] == 'accuracy' and row['protocol'] == 'paper'
    )
    assert row['pretraining_images'] == 16
    write_results(bench)
    assert '| 16 after 16 of a pre-training |' in (tmp_path / 'README.md').read_text()
    replace(tmp_path / 'experiments.yml', ', pretraining_epochs: 2', '')
    with pytest.raises(OptionError, match='probe: pretraining and pretraining_epochs come together'):
        read_bench(tmp_path)


def test_the_results_of_this_tree_follow_from_their_logs(root):
    """What continuous integration asks of every figure that is reported."""
    if not (root / 'docs/results').is_dir():
        pytest.skip('needs a source tree')
    check_results(read_bench())
