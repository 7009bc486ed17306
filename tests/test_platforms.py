"""What is chosen by the system: as far as it can be tried on Linux."""

import sys

import pytest
from mmengine.config import Config

from rsmamba_mm.ops.backends.cpu import build


@pytest.mark.parametrize(('system', 'method'), [('linux', 'fork'), ('darwin', 'spawn'), ('win32', 'spawn')])
def test_how_loading_processes_start(root, monkeypatch, system, method):
    monkeypatch.setattr(sys, 'platform', system)
    cfg = Config.fromfile(root / 'configs/_base_/default_runtime.py')
    assert cfg.env_cfg.mp_cfg.mp_start_method == method
    assert 'sys' not in cfg


def test_native_backend_on_windows_says_what_serves(monkeypatch):
    monkeypatch.setattr(sys, 'platform', 'win32')
    with pytest.raises(build.BuildError, match='the backend `torch` serves there; under WSL'):
        build._needed_compiler()
