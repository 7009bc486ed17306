"""Backends that are compared with ``torch`` before they are trusted, some wrong on purpose."""

import logging
import sys
from types import ModuleType

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rsmamba_mm.ops import BACKENDS, multi_order_scan, register_backend, resolve_backend, use_backend
from rsmamba_mm.ops.backends import judge, torch_chunked, verification

CPU = torch.device('cpu')
SMALL = dict.fromkeys(verification.TOLERANCE, ((1, 2, 9, 6, 2), {}))
COMPARED = 2  # in float32 and in half precision


class Trial(ModuleType):
    """The ``torch`` backend under another name, and how often it has scanned."""

    def __init__(self):
        super().__init__('trial')
        self.scans = 0
        for name in ('chunk_length', 'scan_backward', 'conv_forward', 'conv_backward'):
            setattr(self, name, getattr(torch_chunked, name))

    def scan_forward(self, *arguments):
        self.scans += 1
        return torch_chunked.scan_forward(*arguments)


def start():
    """As a new process would find the backend."""
    register_backend('trial', 'trial', devices=('cpu',), priority=99, checked=True)


@pytest.fixture
def trial(monkeypatch, tmp_path):
    monkeypatch.setenv('RSMAMBA_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(judge, 'CASES', SMALL)
    module = Trial()
    monkeypatch.setitem(sys.modules, 'trial', module)
    start()
    yield module
    verification.forget('trial')
    del BACKENDS['trial']
    register_backend('torch', BACKENDS['torch'].module)  # forget what was chosen meanwhile


def records(folder):
    return list(folder.glob('right_*'))


def wrong(module, name):
    """A gradient a thousandth off, or an error."""
    right = torch_chunked.scan_backward

    def scan_backward(*arguments):
        if name == 'raises':
            raise RuntimeError('misaligned address\nand more')
        grads = right(*arguments)
        return grads._replace(B=grads.B * 1.001)

    module.scan_backward = scan_backward


def scan_of_ones():
    x = torch.ones(1, 1, 3, 2)
    return multi_order_scan(x, x, -torch.ones(2, 2), x, x)


def test_a_right_one_is_compared_once(trial, tmp_path):
    with use_backend('trial'):
        scan_of_ones()
        assert trial.scans == 1 + COMPARED
        scan_of_ones()
    assert trial.scans == 2 + COMPARED and resolve_backend(CPU) == 'trial'
    start()
    assert resolve_backend(CPU) == 'trial' and trial.scans == 2 + COMPARED
    (kept,) = records(tmp_path)
    assert kept.name.startswith('right_trial_')


def test_another_version_is_compared_anew(trial, tmp_path):
    resolve_backend(CPU)
    start()
    trial.version = lambda: '2.0'
    resolve_backend(CPU)
    assert trial.scans == 2 * COMPARED and len(records(tmp_path)) == 2


FAULTS = [
    ('values', r'wrong results \(gradient of B in torch.float32 is off by 1.0e-03 of its largest entry\)'),
    ('raises', r'it fails \(RuntimeError: misaligned address\)'),
]


@pytest.mark.parametrize(('fault', 'reason'), FAULTS)
def test_a_wrong_one_is_passed_over_aloud(trial, tmp_path, caplog, fault, reason):
    wrong(trial, fault)
    with caplog.at_level(logging.WARNING, 'rsmamba_mm'):
        names = {resolve_backend(CPU) for _ in range(3)}
    assert len(names) == 1 and names != {'trial'} and trial.scans == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("scan backend 'trial' is not trusted and another serves")
    assert 'please report this, with what python -m rsmamba_mm.ops says' in record.getMessage()
    message = f"'trial' was asked for but cannot run: on cpu .*{reason}: please report"
    with use_backend('trial'), pytest.raises(RuntimeError, match=message):
        scan_of_ones()
    # neither is kept: the next process looks again
    start()
    trial.scan_backward = torch_chunked.scan_backward
    assert not records(tmp_path) and resolve_backend(CPU) == 'trial'


def test_it_may_say_itself_what_mends_it(trial):
    wrong(trial, 'raises')
    trial.explain = lambda error: f'its {type(error).__name__} ends when it is built again'
    with use_backend('trial'), pytest.raises(RuntimeError, match='on cpu its RuntimeError ends when it is'):
        resolve_backend(CPU)


def test_without_memory_nothing_is_said_of_the_kernels(trial):
    def scan_forward(*arguments):
        raise torch.OutOfMemoryError('tried to allocate')

    trial.scan_forward = scan_forward
    with pytest.raises(torch.OutOfMemoryError):
        resolve_backend(CPU)
    del trial.scan_forward
    assert resolve_backend(CPU) == 'trial'


@pytest.mark.parametrize('content', ['', '{"file": ', '[]', '{"file": "another"}', b'\xff'])
def test_a_broken_record_is_written_anew(trial, tmp_path, content):
    resolve_backend(CPU)
    (kept,) = records(tmp_path)
    good = kept.read_text()
    kept.write_bytes(content if isinstance(content, bytes) else content.encode())
    start()
    assert resolve_backend(CPU) == 'trial' and trial.scans == 2 * COMPARED
    assert kept.read_text() == good and records(tmp_path) == [kept]


def test_a_folder_that_cannot_be_written(trial, tmp_path, monkeypatch, caplog):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('RSMAMBA_CACHE_DIR', str(tmp_path / 'file' / 'folder'))
    with caplog.at_level(logging.WARNING, 'rsmamba_mm'):
        assert resolve_backend(CPU) == resolve_backend(CPU) == 'trial'
    (record,) = caplog.records
    assert 'could not be kept' in record.getMessage() and 'RSMAMBA_CACHE_DIR' in record.getMessage()
    assert trial.scans == COMPARED


def test_no_mode_of_the_caller_reaches_the_comparison(trial):
    with torch.inference_mode(), torch.autocast('cpu', dtype=torch.bfloat16), torch.device('meta'):
        assert resolve_backend(CPU) == 'trial'
    state = torch.get_rng_state()
    start()
    resolve_backend(CPU)
    assert torch.equal(torch.get_rng_state(), state)


# traces and captures -----------------------------------------------------------------------------


def step(x):
    return multi_order_scan(x, x, -x.new_ones(2, 2), x, x)


def compiled():
    torch.compiler.reset()
    return torch.compile(step, backend='aot_eager', fullgraph=True)


def test_a_compiled_graph_compares_when_it_runs(trial):
    with FakeTensorMode():
        assert resolve_backend(CPU) == 'trial' and step(torch.ones(1, 1, 3, 2)).shape == (1, 1, 3, 2)
    assert trial.scans == 0
    x = torch.ones(1, 1, 3, 2)
    torch.testing.assert_close(compiled()(x), step(x))
    assert trial.scans == 2 + COMPARED


def test_a_compiled_graph_with_a_wrong_one_stops(trial):
    wrong(trial, 'values')
    x, function = torch.ones(1, 1, 3, 2), compiled()
    with pytest.raises(RuntimeError, match=r"'trial' cannot be trusted: .*after torch.compiler.reset\(\)"):
        function(x)
    expected = step(x)  # by the next
    torch.testing.assert_close(compiled()(x), expected)
    assert trial.scans == 1


def test_a_trace_trusts_what_is_kept(trial):
    resolve_backend(CPU)
    start()
    with FakeTensorMode():
        resolve_backend(CPU)
    assert verification._FOUND['trial', 'cpu'] is None and trial.scans == COMPARED


def test_a_capture_without_a_comparison_is_refused(trial, monkeypatch):
    class Device:
        type = 'cuda'

    monkeypatch.setattr(verification, '_current', lambda _: Device)
    monkeypatch.setattr(verification, 'record', lambda name, *_: verification.cache_folder() / name)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    with pytest.raises(RuntimeError, match='while a CUDA graph is captured: run the model once before'):
        resolve_backend(CPU)
    monkeypatch.undo()
    assert trial.scans == 0


def test_ranks_do_not_part(trial, monkeypatch):
    """One that differs stops instead of serving with another backend than the rest."""
    wrong(trial, 'values')
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.distributed, 'get_world_size', lambda: 2)
    monkeypatch.setattr(torch.distributed, 'get_rank', lambda: 1)
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=r"'trial' is not trusted in rank 1: .* RSMAMBA_SCAN_BACKEND"
        ):
            resolve_backend(CPU)
