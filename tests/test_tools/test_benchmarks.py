"""The benchmarks at sizes of seconds: they run, and leave a record."""

import json
import logging
import warnings

import pytest
from commands import call


@pytest.fixture(autouse=True)
def loud():
    """The benchmarks silence their process, which here goes on."""
    with warnings.catch_warnings():
        yield
    logging.disable(logging.NOTSET)


def record_of(tool, *args, out):
    result = call(f'analysis_tools/{tool}.py', *args, '--repeats', 1, '--json', out)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(out.read_text()), result.stdout


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['inference', 'training'])
def test_segmenter(tmp_path, mode):
    pytest.importorskip('mmseg.models')
    sides = ['torch', 'torch-without-lsm']
    record, said = record_of(
        'benchmark_segmenter', mode, '--sizes', 32, '--sides', *sides, out=tmp_path / 'record.json'
    )
    assert ('outputs with LSM and without it are identical' in said) == (mode == 'inference')
    figures = record['sizes']['32']
    assert [list(figures[name]) for name in ('seconds', 'memory_mb', 'peak_mb')] == [sides] * 3
    assert all(len(runs) == record['options']['repeats'] == 1 for runs in figures['seconds'].values())
    assert all(figures['peak_mb'][side] > figures['memory_mb'][side] for side in sides)
    times = figures['seconds']
    assert figures['lsm']['torch']['time'] == times['torch'][0] / times['torch-without-lsm'][0]


@pytest.mark.slow
def test_classifier(tmp_path):
    args = ('training', '--img-size', 32, '--batch', 2, '--sides', 'torch')
    record, _ = record_of('benchmark_model', *args, out=tmp_path / 'record.json')
    assert record['options']['img_size'] == 32 and list(record['memory_mb']) == ['torch']


@pytest.mark.slow
def test_pretraining(tmp_path):
    args = ('--config', 'roma-mini_ucmerced-96px', '--batch', 1)
    record, said = record_of('benchmark_pretraining', *args, out=tmp_path / 'record.json')
    times = {side: runs[0] for side, runs in record['seconds'].items()}
    assert list(times) == ['published', 'ours', 'no-scan']
    assert record['ratios']['times as fast as published'] == times['published'] / times['ours']
    assert 'times as long as without the scan: ' in said


@pytest.mark.slow
def test_scan(tmp_path):
    args = ('--lengths', 16, 512, '--channels', 8, '--sides', 'published', 'torch')
    record, _ = record_of('benchmark_scan', *args, out=tmp_path / 'record.json')
    sides = {length: list(figures['seconds']) for length, figures in record['lengths'].items()}
    assert sides == {'16': ['published', 'torch'], '512': ['torch']}
    assert (tmp_path / 'record.png').is_file()


@pytest.mark.slow
def test_unknown_side(capfd):
    arguments = ('training', '--sizes', 32, '--sides', 'cuda')
    result = call('analysis_tools/benchmark_segmenter.py', *arguments)
    assert result.returncode != 0 and 'ended early' in result.stderr
    assert "unknown scan backend 'cuda'" in capfd.readouterr().err  # of the side's own process
