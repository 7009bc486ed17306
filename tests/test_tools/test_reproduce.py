"""The bench as a user calls it."""

import json
import re
import shutil

import pytest
from bench_miniature import add_run, make_bench
from PIL import Image

TOOL = 'reproduce.py'


@pytest.fixture
def bench(root, tmp_path, monkeypatch):
    monkeypatch.setenv('RSMAMBA_DATA', str(tmp_path / 'data'))
    return make_bench(root, tmp_path)


@pytest.fixture
def reproduce(call, bench, tmp_path):
    """The tool on the miniature."""
    return lambda *options: call(TOOL, *options, '--results', tmp_path, '--work-dir', tmp_path / 'work')


def test_list_and_dry_run(reproduce, bench, tmp_path):
    add_run(bench, 'small', 20, tmp_path / 'made')
    code, out, _ = reproduce('--list')
    assert code == 0
    assert re.search(r'^small +scenes +32 +4  1 kept, 2 min each$', out, re.MULTILINE)
    assert re.search(r'^other +scenes +32 +4  none$', out, re.MULTILINE)
    code, out, _ = reproduce('--dry-run', '--seeds', '2')
    assert code == 0 and out.startswith('here: ')
    assert f'small, seed 0: would not run: it is kept in {tmp_path}/runs/small/seed0, and took 2 min' in out
    assert 'small, seed 1: would run 4 epochs, 32 images; seed 0 took 2 min' in out
    assert 'other, seed 0: would run 4 epochs, 32 images; it has not run before' in out
    assert 'missing' not in out
    shutil.rmtree(tmp_path / 'data')
    _, out, _ = reproduce('other', '--dry-run')
    assert (
        'missing: data: ' in out and 'data/scenes is not there: draw them. Where it lies elsewhere:' in out
    )
    assert not (tmp_path / 'work').exists()


def test_what_needs_a_gpu_says_so(reproduce, tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    path = tmp_path / 'experiments.yml'
    path.write_text(path.read_text().replace('images_seen: 32}', 'images_seen: 32, gpu: true}', 1))
    _, out, _ = reproduce('--dry-run')
    assert out.count('missing: GPU: it is too large for a CPU, and PyTorch sees no GPU here') == 1
    code, _, err = reproduce('other')
    assert code == 2 and 'other cannot run: GPU: it is too large for a CPU' in err


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['smal'], "no experiment 'smal' in .*; did you mean small?"),
        (['-'], 'see tools/reproduce.py --list'),
        ([], r'which experiments\? --list names them'),
        (['small', '--seeds', '0'], '--seeds and --budget are above 0, got 0 and None'),
    ],
)
def test_refusals(reproduce, options, said):
    code, _, err = reproduce(*options)
    assert code == 2 and re.search(said, err) and 'Traceback' not in err


def test_missing_experiments(call, tmp_path):
    code, _, err = call(TOOL, '--list', '--results', tmp_path)
    assert code == 2 and 'experiments.yml is not there: it names the experiments' in err


def test_check_and_measured_costs(reproduce, bench, tmp_path, monkeypatch):
    monkeypatch.setattr('rsmamba_mm.apis.bench.speed.REPEATS', 2)
    for name in ('small', 'other'):
        add_run(bench, name, 20, tmp_path / 'made')
    code, out, _ = reproduce('--measure')
    assert code == 0 and f'{tmp_path}/costs.png written' in out
    speed = json.loads((tmp_path / 'speed.json').read_text())
    # what answers a question beside its first is not reported by itself
    assert set(speed['models']) == {'small', 'other'} and speed['repeats'] == 2
    small = speed['models']['small']
    low, high = small['range']
    assert 0 < low <= small['milliseconds'] <= high
    assert small['parameters'] > 100_000 and small['multiply_adds'] > small['scans'] > 0
    assert (
        '![accuracy over time, parameters and operations](costs.png)'
        in (tmp_path / 'README.md').read_text()
    )
    code, out, _ = reproduce('--check')
    assert (code, out) == (0, 'the logs give what is written\n')
    Image.new('RGB', (9, 9)).save(tmp_path / 'costs.png')
    code, _, err = reproduce('--check')
    assert code == 2 and 'costs.png was not drawn from these figures' in err


@pytest.mark.slow
@pytest.mark.smoke
def test_trains_keeps_and_tells(reproduce, bench, call, tmp_path):
    """In a process of its own; and the checkpoint it keeps has the figures that it reports."""
    code, out, err = reproduce('small', '--budget', '5')
    assert code == 0, err
    kept = tmp_path / 'runs/small/seed0'
    assert 'small, seed 0: finished in ' in out and f'kept in {kept}' in out
    about = json.loads((kept / 'run.json').read_text())
    assert about['images_seen'] == 32 and about['seconds'] > 0 and about['parameters'] > 100_000
    row = json.loads((tmp_path / 'results.json').read_text())[1]
    assert (row['protocol'], row['metric']) == ('held-out', 'accuracy')
    assert reproduce('--check')[0] == 0
    assert 'kept in' in reproduce('small')[1]  # not again
    work, found = tmp_path / 'work/small', tmp_path / 'found.json'
    code, _, err = call(
        'test.py', work / 'seed0.py', work / 'seed0/selected.pth', '--work-dir', tmp_path / 'test',
        '--out', found, '--out-item', 'metrics',
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(found.read_text())['accuracy/top1'] == pytest.approx(row['mean'], abs=0.01)
