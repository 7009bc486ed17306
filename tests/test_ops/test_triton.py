"""The ``triton`` backend: its kernels in Triton's interpreter, its choice, its probe."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rsmamba_mm.ops import resolve_backend, use_backend
from rsmamba_mm.ops.backends import obstacle
from rsmamba_mm.ops.backends.triton.probe import probe

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None,
    reason='Triton is not installed: pip install -c requirements/constraints.txt triton (Linux only)',
)


def interpreted(*command: str) -> subprocess.CompletedProcess:
    """Python in Triton's interpreter, which is chosen when the kernels are imported."""
    environment = {**os.environ, 'TRITON_INTERPRET': '1'}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)


@pytest.mark.slow
@needs_triton
def test_kernels_in_the_interpreter():
    file = Path(__file__).with_name('triton_kernels.py')
    result = interpreted('-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(file))
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert ' passed' in result.stdout and ' skipped' not in result.stdout


@needs_triton
@pytest.mark.slow
def test_the_interpreter_runs_only_where_it_is_asked_for():
    code = (
        'import torch; from rsmamba_mm.ops import *\n'
        "print(resolve_backend(torch.device('cpu')), 'triton' in available_backends())"
    )
    automatic = resolve_backend(torch.device('cpu'))
    assert interpreted('-c', code).stdout.split() == [automatic, 'True']


@pytest.mark.skipif(os.environ.get('TRITON_INTERPRET') == '1', reason='here it does run on the CPU')
def test_forced_on_the_cpu_is_an_error():
    message = "'triton' was asked for but cannot run: it runs on cuda, and the tensors are on cpu"
    with use_backend('triton'), pytest.raises(RuntimeError, match=message):
        resolve_backend(torch.device('cpu'))
    assert obstacle('mamba_ssm', 'cpu') == 'it runs on cuda, and the tensors are on cpu'


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.slow
def test_overview_says_what_keeps_from_a_gpu():
    command = [sys.executable, '-m', 'rsmamba_mm.ops']
    said = subprocess.run(command, capture_output=True, text=True).stdout
    assert re.search(r'^  triton +no: \S.*(CUDA|Triton|GPU)', said, re.M), said
    assert re.search(r'^  mamba_ssm +no: .*(mamba-ssm|CUDA)', said, re.M), said


def fake_triton(version):
    module = ModuleType('triton')
    module.__version__ = version
    return module


@pytest.mark.parametrize(
    ('version', 'available', 'built', 'capability', 'message'),
    [
        (None, True, '13.0', (9, 0), 'Triton cannot be imported .* pip install triton'),
        ('3.2.0', True, '13.0', (9, 0), r"3\.2\.0 is too old, 3\.3 is needed.* 'torch>=2\.7'"),
        ('3.7.1', False, None, (9, 0), 'is built without CUDA: install a CUDA build, https'),
        ('3.7.1', False, '13.0', (9, 0), 'finds no NVIDIA GPU: nvidia-smi'),
        ('3.7.1', True, '13.0', (6, 1), r'Some GPU has compute capability 6\.1, and Triton needs 7\.5'),
        ('3.7.1', True, '13.0', (9, 0), None),
    ],
    ids=['missing', 'old', 'cpu build', 'no device', 'old device', 'right'],
)
def test_probe_says_why_not(monkeypatch, version, available, built, capability, message):
    monkeypatch.setitem(sys.modules, 'triton', None if version is None else fake_triton(version))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: available)
    monkeypatch.setattr(torch.version, 'cuda', built)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda *_: 'Some GPU')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda *_: capability)
    reason = probe()
    if message is None:
        assert reason is None
    else:
        assert re.search(message, reason), reason


@pytest.mark.slow
@needs_triton
def test_launches_compile_once_for_all_lengths():
    """Each kernel compiles from what its launch passes, and never again for another length or batch."""
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    command = [sys.executable, str(Path(__file__).with_name('triton_launches.py'))]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    first, *others = map(json.loads, result.stdout.splitlines())
    # forward: output with and without states to keep, and segments alone; combine: forwards and backwards
    assert first == {**dict.fromkeys(first, 1), 'scan_forward': 3, 'scan_combine': 2} and len(first) == 11
    assert len(others) == 4 and all(counts == first for counts in others)


@pytest.mark.slow
@needs_triton
def test_compiled_kernels_spill_nothing(root, tmp_path):
    """All kernels compile for sm_90, which needs no GPU, no register goes to memory, and loops are short.

    Nor is there a minimum or a maximum of floats: of NaN and a number a device's is the number.
    """
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    command = [sys.executable, 'tools/analysis_tools/inspect_triton.py', '--ptx', str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stderr
    pattern = r'^(\w.{31}) +(\d+) +(\d+) +\d+ +\d+ +([\d.]+|-) '
    lines = {name.strip(): rest for name, *rest in re.findall(pattern, result.stdout, re.M)}
    assert len(lines) == 15
    for name, (registers, spilled, _) in lines.items():
        assert int(spilled) == 0 and int(registers) <= 192, name
    # of a warp, for each step and state: a quarter and a fifth less than the first version's 41.3 and 135.3
    assert float(lines['scan_forward'][2]) < 31 and float(lines['scan_backward'][2]) < 108
    files = list(tmp_path.glob('*.ptx'))
    assert len(files) == 15
    for file in files:
        assert not re.search(r'\b(min|max)\.\S*f(16|32|64)', file.read_text()), file.name
