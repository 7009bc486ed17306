"""The check on a GPU, as far as it goes without one: what it does with its programs, and a dry run."""

import importlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time

import pytest
import torch

from rsmamba_mm.ops.backends import torch_chunked

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None,
    reason='Triton is not installed: pip install -c requirements/constraints.txt triton (Linux only)',
)
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')

# what gpu_check.sh calls as Python: each program does what the test says of it, and some leave figures
STAND_IN = """#!/usr/bin/env bash
previous=
for word; do
    case $previous in
        --record) record=$word ;;
        --out) record=$word/benchmark.jsonl ;;
        --work-dir) run=$word ;;
    esac
    previous=$word
done
case "$*" in
    *check_scan.py*) program=scan ;;
    *check_gpu.py*) program=checks ;;
    *--table*) program=table ;;
    *benchmark_gpu.py*) program=benchmark ;;
    *train.py*) program=train ;;
    *) exit 0 ;;
esac
figure() { echo '{"case": "a", "part": "b", "step": 1}' >>"${record:?}"; }
%s
"""


def call(root, *command, **environment):
    environment = {**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)


@pytest.fixture
def start(root, tmp_path):
    """Starts the check with a stand-in for Python, in a process group of its own."""

    def start(behaviour, *options, configs=''):
        python = tmp_path / 'python'
        python.write_text(STAND_IN % behaviour)
        python.chmod(0o755)
        environment = {
            **os.environ,
            'PYTHON': str(python),
            'OUT': str(tmp_path / 'out'),
            'CONFIGS': configs,
        }
        return subprocess.Popen(
            ['bash', 'tools/gpu_check.sh', *options], cwd=root, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    return start


def archived(out):
    """What the archive holds, by name."""
    with tarfile.open(out / 'gpu_check.tar.gz') as archive:
        return {
            name: archive.extractfile(name).read().decode(errors='replace') for name in archive.getnames()
        }


def test_a_fault_ends_nothing_else_and_the_call_in_red(start, tmp_path):
    """Exactness loses the device, goes on in a new process and finds an error; all other steps are done."""
    process = start(
        """case $program in
            scan) figure; case "$*" in *--resume*) echo 'RED: off by 1'; exit 1 ;; esac; exit 75 ;;
            train) mkdir -p "$run/1/vis_data"; echo '{"loss": NaN}' >"$run/1/vis_data/scalars.json" ;;
            *) figure; echo "figures of $program" ;;
        esac""",
        configs='configs/rsmamba/rsmamba-t_synthetic-128px.py',
    )
    said, red = process.communicate()
    assert process.returncode == 1
    steps = re.findall(r'^== (\w+)[^:]*: (?!right)', said, re.M)
    order = 'environment exactness benchmarks checks training training training sweep tests compiled'
    assert steps == order.split()
    held = archived(tmp_path / 'out')
    assert len(held) <= 8 and {'report.txt', 'log.txt', 'exactness.jsonl', 'benchmark.jsonl'} <= held.keys()
    assert len(held['exactness.jsonl'].splitlines()) == 2  # of two processes
    assert '{"run": "rsmamba-t_synthetic-128px_float16", "loss": NaN}' in held['training.jsonl']
    assert 'figures of benchmark' in held['report.txt'] and '== checks: right' in held['report.txt']
    for line in (
        'off by 1',
        'exactness failed (status 1)',
        'rsmamba-t_synthetic-128px_ddp: the loss is not',
    ):
        assert f'RED: {line}' in held['report.txt'] and f'RED: {line}' in red


def test_a_cut_keeps_what_was_measured(start, tmp_path):
    """By the limit: the step is named, those after it left out. By a kill: what was written is there."""
    slow = 'case $program in benchmark) figure; sleep 60 ;; table) echo half a table ;; *) figure ;; esac'
    process = start(slow, '--limit', '8')
    process.communicate(timeout=60)
    assert process.returncode == 0
    report = archived(tmp_path / 'out')['report.txt']
    assert '== benchmarks: cut by the limit after ' in report and 'half a table' in report
    assert '== sweep: left out, no time is left of 8 s' in report

    process = start(slow)
    figures = tmp_path / 'out/benchmark.jsonl'
    while '== benchmarks' not in process.stdout.readline() or not figures.exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert figures.read_text().count('"step": 1') == 1
    assert '== exactness: right' in archived(tmp_path / 'out')['report.txt']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--steps', 'exactnes'), 'no step exactnes; there are: environment exactness benchmarks checks'),
        (('--limit', '9m'), '--limit takes whole seconds, got 9m'),
        (('--peer-wheel', '/none'), '--peer-wheel: no wheel at /none; tools/build_peer.sh makes one'),
        (('--peers',), 'Everything about the scan on an NVIDIA GPU in one call of ten minutes'),
    ],
    ids=lambda value: value[0].strip('-') if isinstance(value, tuple) else '',
)
def test_options_that_do_not_fit_are_refused(root, options, message):
    result = call(root, 'bash', 'tools/gpu_check.sh', *options)
    assert result.returncode == 2 and message in result.stderr


def test_refuses_a_python_without_openmmlab(root):
    result = call(root, 'bash', 'tools/gpu_check.sh', PYTHON='false')
    assert result.returncode == 1
    assert (
        "false cannot import rsmamba_mm.models with OpenMMLab: . Install it there, pip install -e '.[mm]'"
        in (result.stderr)
    )


def test_the_peer_is_built_for_one_kind_of_gpu(root, tmp_path):
    """Its own choice of GPUs does not reach nvcc."""
    said = tmp_path / 'said'
    scripts = {
        'bin/nvcc': f'echo "$@" >>{said}',
        'python': f"""case "$*" in
            *CUDA_HOME*) echo {tmp_path} ;;
            *'pip wheel'*) "$PYTORCH_NVCC" --version
                "$PYTORCH_NVCC" -O3 -gencode arch=compute_75,code=sm_75 -gencode=arch=x -c a.cu -o a.o ;;
        esac""",
    }
    (tmp_path / 'bin').mkdir()
    for name, script in scripts.items():
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{script}\n')
        (tmp_path / name).chmod(0o755)
    command = ('bash', 'tools/build_peer.sh', '10.0', str(tmp_path / 'out'))
    assert call(root, *command, PYTHON=str(tmp_path / 'python')).returncode == 0
    assert said.read_text().splitlines() == [
        '--version',
        '-O3 -c a.cu -o a.o -gencode arch=compute_100,code=sm_100',
    ]
    (tmp_path / 'bin/nvcc').unlink()
    refused = call(root, *command, PYTHON=str(tmp_path / 'python'))
    assert refused.returncode == 1 and "install NVIDIA's CUDA toolkit" in refused.stderr
    assert call(root, *command[:2], '90').returncode == 2


@pytest.fixture
def tool(root, monkeypatch):
    """Imports a tool of tools/analysis_tools and calls its main in this process."""
    monkeypatch.syspath_prepend(root / 'tools/analysis_tools')

    def run(name, *options):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, options)])
        return importlib.import_module(name).main()

    return run


def test_a_wrong_kernel_turns_exactness_red(tool, tmp_path, monkeypatch, capsys):
    right = torch_chunked.scan_backward

    def wrong(*arguments):
        grads = right(*arguments)
        return grads._replace(B=grads.B * 1.05)

    options = ('--sweep', 'small', '--backends', 'torch', '--record', tmp_path / 'record.jsonl')
    tool('check_scan', *options)
    assert 'RED' not in capsys.readouterr().out
    monkeypatch.setattr(torch_chunked, 'scan_backward', wrong)
    with pytest.raises(SystemExit, match='1'):
        tool('check_scan', *options)
    said = capsys.readouterr().out
    assert re.search(
        r'^RED: 197 steps, .*, torch float32: dB is off by 5\.\de-02, allowed 1e-04$', said, re.M
    )
    assert '"worst": "dB"' in (tmp_path / 'record.jsonl').read_text()


def test_checks_compare_both_ways(tool, tmp_path, monkeypatch, capsys):
    """A compiled step whose gradients are off is red; autocast is right."""
    options = ('--dry-run', '--backend', 'torch', '--record', tmp_path / 'record.jsonl')

    monkeypatch.setattr(torch, 'compile', lambda model, backend: lambda x: [wrong_gradient(model(x)[0])])
    with pytest.raises(SystemExit, match='1'):
        tool('check_gpu', *options)
    said = capsys.readouterr().out
    assert re.findall(r'^RED: checks: (.*)$', said, re.M) == ['torch.compile']
    assert "'output': 0.0, 'gradients': 0.5" in said


def wrong_gradient(y):
    """The same numbers, and half as much again of the gradient."""
    return y.detach() + 1.5 * (y - y.detach())


def test_a_record_goes_on_where_a_process_ended(root, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(root / 'tools/analysis_tools')
    record = importlib.import_module('_record')
    file = tmp_path / 'record.jsonl'
    first = record.Record(file)
    seen = []
    first.attempt('case', 'one', lambda: seen.append(file.read_text()) or dict(figure=1))
    assert 'begun' in seen[0] and 'figure' not in seen[0] and '"figure": 1' in file.read_text()
    assert first.attempt('case', 'two', lambda: 1 / 0) is None
    first.write(case='case', begun='three')
    with file.open('a') as opened:
        opened.write('{"case": "ca')  # cut while it was written

    second = record.Record(file, resume=True)
    assert [second.ended('case', part) for part in ('one', 'two', 'three', 'four')] == [
        True,
        True,
        True,
        False,
    ]
    said = capsys.readouterr().out
    assert 'RED: case, two: ZeroDivisionError: division by zero' in said
    assert 'RED: case, three: the process ended in this part' in said
    assert record.read(file) == second.entries


@pytest.mark.slow
@without_gpu
def test_refuses_without_a_gpu_in_one_sentence(root, tool, tmp_path):
    out = tmp_path / 'out'
    result = call(root, 'bash', 'tools/gpu_check.sh', OUT=str(out))
    assert result.returncode == 1
    said = [result.stderr.strip().splitlines()[-1]]
    for name, option in (('benchmark_gpu', '--out'), ('check_gpu', '--record')):
        with pytest.raises(SystemExit) as refusal:
            tool(name, option, out)
        said.append(refusal.value.code)
    assert all(
        'needs an NVIDIA GPU' in line and line.endswith('at tiny sizes on the CPU.') for line in said
    )
    assert not out.exists()


@pytest.mark.slow
@needs_triton
def test_dry_run_of_the_kernels(root, tmp_path):
    options = ('--dry-run', '--steps', 'exactness benchmarks')
    result = call(root, 'bash', 'tools/gpu_check.sh', *options, OUT=str(tmp_path), CONFIGS='')
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    held = archived(tmp_path)
    assert held.keys() == {'report.txt', 'log.txt', 'exactness.jsonl', 'benchmark.jsonl', 'benchmark.png'}
    assert '"part": "triton bfloat16"' in held['exactness.jsonl']
    entries = [json.loads(line) for line in held['benchmark.jsonl'].splitlines()]
    assert entries[0]['dry_run'] and entries[0]['machine']['gpu'].startswith('none')
    timed = {(entry['case'], entry['part']) for entry in entries if 'step' in entry}
    for name in {entry['case'] for entry in entries if 'case' in entry}:
        sides = {'torch'} if name.startswith('UNetMamba') else {'torch', 'triton'}
        assert {side for case, side in timed if case == name} == sides
    assert 'the figures say nothing' in held['report.txt']
    assert 'released   not run: it runs on cuda' in held['report.txt']
