"""The backend on the Hub's build of the kernel: a local copy is loaded or refused, never fetched."""

import importlib.util
import json
import re
import sys
from types import ModuleType

import pytest
import torch
from test_scan import assert_close, run, scan_inputs

from rsmamba_mm.ops import BACKENDS, make_orders, register_backend, resolve_backend
from rsmamba_mm.ops.backends import mamba_hub
from rsmamba_mm.ops.testing import exact_scan

# operators by the torch reference, in the layout of a build of the Hub; FACTOR makes them wrong
OPERATORS = """
from types import SimpleNamespace
from test_mamba_ssm import stand_in

kernel = stand_in()

def forward(*arguments):
    y, x = kernel.fwd(*arguments)
    return [y * FACTOR, x]

ops = SimpleNamespace(selective_scan_fwd=forward, selective_scan_bwd=kernel.bwd)
"""
METADATA = {
    'version': mamba_hub.VERSION,
    'license': 'Apache-2.0',
    'python-depends': [],
    'backend': {'type': 'cpu'},
}


@pytest.fixture(autouse=True)
def loader(monkeypatch):
    """The package kernels, or where it is not installed what loads a folder likewise."""
    mamba_hub._operators.cache_clear()
    if importlib.util.find_spec('kernels') is not None:
        return

    def get_local_kernel(folder):
        build = folder if (folder / 'metadata.json').exists() else folder / 'build/torch-cpu'
        name = json.loads((build / 'metadata.json').read_text())['id']
        spec = importlib.util.spec_from_file_location(name, build / '__init__.py')
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    package = ModuleType('kernels')
    package.__spec__ = importlib.util.spec_from_loader('kernels', None)
    package.get_local_kernel = get_local_kernel
    monkeypatch.setitem(sys.modules, 'kernels', package)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Makes a local copy of the kernel and names its folder."""

    def make(start='', factor=1.0, **metadata):
        name = f'mamba_ssm_{tmp_path.name}'
        build = tmp_path / 'copy/build/torch-cpu'
        build.mkdir(parents=True)
        metadata = METADATA | {'id': name, 'name': 'mamba-ssm'} | metadata
        (build / 'metadata.json').write_text(json.dumps(metadata))
        (build / '__init__.py').write_text(start)
        (build / '_ops.py').write_text(OPERATORS.replace('FACTOR', str(factor)))
        monkeypatch.setenv(mamba_hub.VARIABLE, str(tmp_path / 'copy'))

    monkeypatch.setenv('RSMAMBA_CACHE_DIR', str(tmp_path / 'verdicts'))
    monkeypatch.setattr(mamba_hub, 'no_device', lambda: None)
    entry = BACKENDS['mamba_hub']
    register_backend(
        'mamba_hub', entry.module, devices=('cpu', 'cuda'), asked=(*entry.asked, 'cpu'), probe=entry.probe,
        checked=entry.checked,
    )  # fmt: skip
    yield make
    register_backend(
        'mamba_hub', entry.module, devices=entry.devices, asked=entry.asked, priority=entry.priority,
        probe=entry.probe, checked=entry.checked,
    )  # fmt: skip


def test_a_copy_is_compared_and_serves_where_it_is_asked_for(copy):
    copy()
    inputs = scan_inputs(2, 3, 19, 6, 4, torch.bfloat16, shared=False)
    options = dict(orders=make_orders(['shuffle', 'reverse', 'forward'], 1, 19), delta_softplus=True)
    exact = exact_scan(inputs, last_weight=0.0, **options)
    assert_close(run(inputs, 'mamba_hub', last_weight=0.0, **options), exact, torch.bfloat16)
    with pytest.raises(RuntimeError, match="'mamba_hub' has no gradient through the last state"):
        run(inputs, 'mamba_hub', **options)
    assert mamba_hub.probe() is None
    assert resolve_backend(torch.device('cuda')) == 'torch'  # auto passes it over


def test_a_wrong_copy_is_rejected(copy, tmp_path, monkeypatch):
    copy(factor=1.01)
    monkeypatch.setenv(mamba_hub.VARIABLE, str(tmp_path / 'copy/build/torch-cpu'))  # the build itself
    with pytest.raises(
        RuntimeError, match=r"'mamba_hub' was asked for .* gives wrong results .* is off by 1\."
    ):
        run(scan_inputs(1, 1, 5, 3, 2), 'mamba_hub', delta_softplus=True)


@pytest.mark.parametrize(
    ('made', 'message'),
    [
        (
            dict(version=1),
            r'metadata\.json is of version 1 of the kernel, and this .* knows version 3: .*version=3',
        ),
        (
            {'kernel-depends': [{'repo-id': 'another/kernel'}]},
            'needs other kernels, which would be downloaded',
        ),
        (
            dict(start='raise ImportError("undefined symbol: _ZN3c10")'),
            r'cannot be loaded \(undefined symbol',
        ),
    ],
    ids=['version', 'others', 'broken'],
)
def test_a_copy_that_does_not_fit_is_refused(copy, made, message):
    copy(**made)
    reason = mamba_hub.probe()
    assert re.search(message, reason), reason


def test_without_a_copy(copy, tmp_path, monkeypatch):
    monkeypatch.delenv(mamba_hub.VARIABLE, raising=False)
    cure = r"install_kernel\('kernels-community/mamba-ssm', version=3\).* in RSMAMBA_MAMBA_HUB"
    assert re.search(rf'no local copy .* and none is downloaded: .*{cure}', mamba_hub.probe())
    with pytest.raises(RuntimeError, match="'mamba_hub' was asked for but cannot run: no local copy"):
        run(scan_inputs(1, 1, 5, 3, 2), 'mamba_hub')
    monkeypatch.setenv(mamba_hub.VARIABLE, str(tmp_path))
    assert re.search(rf'holds no build of a kernel .*{cure}', mamba_hub.probe())
    (tmp_path / 'metadata.json').write_text('{"version": ')
    assert re.search(rf'metadata\.json cannot be read .*{cure}', mamba_hub.probe())


def test_without_a_gpu_or_the_package(copy, monkeypatch):
    copy()
    monkeypatch.setattr(mamba_hub, 'no_device', lambda: 'PyTorch finds no NVIDIA GPU')
    assert mamba_hub.probe() == 'PyTorch finds no NVIDIA GPU'
    monkeypatch.setattr(mamba_hub.importlib.util, 'find_spec', lambda name: None)
    assert mamba_hub.probe() == "the package kernels is not installed: pip install 'kernels>=0.17'"
