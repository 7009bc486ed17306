"""The doctor: what it tells, and that nothing brings it down.

PyTorch is imported by the tests that need it: a process that fails on purpose imports this module.
"""

import json
import os
import re
import subprocess
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from rsmamba_mm import compat, doctor
from rsmamba_mm.doctor import libraries, machine, self_check
from rsmamba_mm.doctor.checks import CHECKS, Check, examine, examine_all
from rsmamba_mm.doctor.report import Section, as_json, conclusion


def told(section: Section) -> str:
    return '\n'.join(section.lines())


def only_finding(section: Section):
    (finding,) = section.findings
    return finding


@pytest.fixture
def section():
    return Section('a part')


# what is well ------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_here_everything_computes_right():
    sections = {title: examine(title, check.function) for title, check in CHECKS.items()}
    for title in ('package', 'PyTorch', 'OpenMMLab', 'requirements', 'native backend'):
        assert not sections[title].findings and sections[title].facts, title
    facts = dict(sections['scan'].facts)
    assert facts['cpu'] == "'cpu' serves"
    assert all(
        'from the reference in float64' in facts[f'cpu {name}'] for name in ('torch', 'cpu', 'reference')
    )
    assert 'no: ' in facts['cpu mamba_ssm']
    facts = dict(sections['models'].facts)
    assert 'ms, loss ' in facts['RSMamba, cpu'] and 'ms, loss ' in facts['UNetMamba, cpu']
    assert 'read back the same' in dict(sections['checkpoint'].facts)['checkpoint']
    assert conclusion(
        [each for part in ('scan', 'models', 'checkpoint') for each in sections[part].findings]
    ) == ['ok']


def test_import_is_light_and_everything_may_be_absent():
    code = """
import sys
from rsmamba_mm.doctor.checks import CHECKS, examine

class Absent:
    def find_spec(self, name, *rest):
        if name in ('mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'torch', 'numpy'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Absent())
for title in ('package', 'machine', 'settings', 'requirements'):
    section = examine(title, CHECKS[title].function)
    assert section.usable and section.facts, section
assert not {'torch', 'mmengine', 'numpy', 'cv2'} & set(sys.modules)
"""
    subprocess.run([sys.executable, '-c', code], check=True)


# what is wrong -----------------------------------------------------------------------------------


def pretend_installed(monkeypatch, *names: str) -> None:
    def version(name: str) -> str:
        if name not in names:
            raise metadata.PackageNotFoundError(name)
        return '1.0'

    monkeypatch.setattr(compat, 'version', version)


def test_openmmlab_is_absent(monkeypatch):
    pretend_installed(monkeypatch, 'torch')
    section = examine('OpenMMLab', libraries.openmmlab)
    assert not section.usable
    assert 'OpenMMLab is not installed' in only_finding(section).what
    assert 'pip install "rsmamba_mm[mm]"' in only_finding(section).what


def test_two_stacks(monkeypatch):
    pretend_installed(monkeypatch, 'onedl-mmengine', 'mmengine', 'torch')
    section = examine('OpenMMLab', libraries.openmmlab)
    assert 'Two OpenMMLab stacks' in only_finding(section).what
    assert dict(section.facts) == {'onedl-mmengine': '1.0', 'mmengine': '1.0'}


def test_requirements(monkeypatch):
    pretend_installed(monkeypatch, 'onedl-mmengine', 'onedl-mmcv', 'torch', 'numpy', 'safetensors')
    section = examine('requirements', libraries.extras)
    found = {finding.what: finding.todo for finding in section.findings}
    assert found['einops>=0.7 is needed, and none is installed'] == 'pip install "einops>=0.7"'
    assert found['torch>=2.4 is needed, and 1.0 is installed'] == 'pip install "torch>=2.4"'
    assert any(what.startswith('onedl-mmcv') for what in found)
    assert not any('mmpretrain' in what for what in found)  # who segments does without
    assert 'lacks rasterio' not in told(section)
    assert dict(section.facts)['app'] == 'optional, without gradio, pillow: pip install "rsmamba_mm[app]"'


def test_requirements_of_an_installed_package_are_those_of_the_tree(monkeypatch, tmp_path):
    pytest.importorskip('packaging')
    if (
        not list(metadata.distributions(name='rsmamba_mm'))
        or not (libraries.PACKAGE.parent / 'setup.py').exists()
    ):
        pytest.skip('needs a source tree, and the package installed from it')
    extras = ('', 'mm', 'geo', 'cuda')
    named = [{each.name for each in libraries._requirements(extra)} for extra in extras]
    monkeypatch.setattr(libraries, 'PACKAGE', tmp_path)
    assert [{each.name for each in libraries._requirements(extra)} for extra in extras] == named
    assert {'einops', 'onedl-mmcv', 'rasterio', 'mamba-ssm'} <= set().union(*named)


def test_backend_that_is_wrong(monkeypatch):
    from rsmamba_mm.ops.backends import BACKENDS, registry, torch_chunked

    def scan_forward(scan, keep_states):
        y, *rest = torch_chunked.scan_forward(scan, keep_states)
        return y * 1.01, *rest

    broken = ModuleType('broken')
    vars(broken).update({**vars(torch_chunked), 'scan_forward': scan_forward})
    monkeypatch.setitem(sys.modules, 'broken', broken)
    registry.register_backend('broken', 'broken', devices=('cpu',), priority=-20)
    try:
        section = examine('scan', self_check.scans)
    finally:
        del BACKENDS['broken']
    finding = only_finding(section)
    assert finding.what.startswith("the backend 'broken' is wrong on cpu: y is off by 1.0e-02")
    assert finding.todo.startswith('export RSMAMBA_SCAN_BACKEND=torch, and report it')


def test_backend_that_fails_or_is_misspelt(monkeypatch):
    monkeypatch.setattr('rsmamba_mm.ops.backends.registry._FROM_ENVIRONMENT', 'tritom')
    monkeypatch.setattr('rsmamba_mm.ops.testing.multi_order_scan', lambda **options: 1 / 0)
    findings = [finding.what for finding in examine('scan', self_check.scans).findings]
    assert findings[0].startswith(
        'no backend of the scan serves tensors on cpu: RSMAMBA_SCAN_BACKEND: unknown'
    )
    assert "the backend 'cpu' fails on cpu: division by zero" in findings


@pytest.mark.parametrize('kind', ['BuildError', 'OSError'])
def test_native_backend_that_cannot_be_used(monkeypatch, kind):
    from rsmamba_mm.ops.backends.cpu import build, call

    def library():
        raise dict(BuildError=build.BuildError, OSError=OSError)[kind](
            'no C++ compiler: apt-get install g++'
        )

    monkeypatch.setattr(call, '_library', library)
    monkeypatch.setattr(build, 'compiler', lambda: None)
    section = examine('native backend', self_check.native)
    assert dict(section.facts)['compiler'] == 'none'
    assert only_finding(section).what.endswith('slower backend: no C++ compiler: apt-get install g++')


def test_loss_that_is_not_finite(monkeypatch):
    monkeypatch.setattr(self_check, '_step', lambda *rest: (float('nan'), 0.1))
    what = [finding.what for finding in examine('models', self_check.models).findings]
    assert what == ['the loss of a new RSMamba on cpu is nan', 'the loss of a new UNetMamba on cpu is nan']


def test_checkpoint_that_is_not_read_back(monkeypatch):
    monkeypatch.setattr('rsmamba_mm.engine.safe_checkpoint.torn', lambda path: 'it is torn')
    finding = only_finding(examine('checkpoint', self_check.checkpoint))
    assert 'is not read back as it was written: it is torn' in finding.what


def test_machine_that_is_short_of_everything(monkeypatch, section):
    monkeypatch.setattr(machine.shutil, 'disk_usage', lambda path: SimpleNamespace(total=2**26, free=2**20))
    machine.machine(section)
    what = ' '.join(finding.what for finding in section.findings)
    assert '/dev/shm holds 64 MiB' in what and 'has 1 MiB left' in what


def test_settings(monkeypatch, section, tmp_path):
    monkeypatch.setenv('RSMAMBA_ALOW_PICKLE', '1')
    monkeypatch.setenv('RSMAMBA_DATA', str(tmp_path / 'private'))
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    machine.settings(section)
    assert 'OMP_NUM_THREADS' in told(section) and 'private' not in told(section)
    unread, no_data = section.findings
    assert unread.what == 'the variable RSMAMBA_ALOW_PICKLE is set, and nothing reads it'
    assert unread.todo == 'is RSMAMBA_ALLOW_PICKLE meant?'
    assert no_data.what == 'the variable RSMAMBA_DATA names no folder'


def test_too_many_threads(monkeypatch, section):
    monkeypatch.setattr(machine, 'usable_cores', lambda: 0)
    machine.pytorch(section)
    assert only_finding(section).todo == 'export OMP_NUM_THREADS=0'


def test_every_variable_that_is_read_is_known(root):
    files = [path for part in ('rsmamba_mm', 'tools', 'configs') for path in (root / part).rglob('*.py')]
    read = {name for path in files for name in re.findall(r'\bRSMAMBA_[A-Z_]+', path.read_text())}
    assert read <= set(machine.OWN)


def test_gpu_that_pytorch_cannot_use(monkeypatch, section):
    import torch

    def is_available() -> bool:
        warnings.warn('CUDA initialization: the driver is too old\nand more', stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, 'is_available', is_available)
    machine.pytorch(section)
    assert (
        only_finding(section).what
        == 'PyTorch warns of its GPUs: CUDA initialization: the driver is too old'
    )
    assert dict(section.facts)['GPU'] == 'none'


# what fails --------------------------------------------------------------------------------------


def fails(section: Section) -> None:
    section.say('before', 'it failed')
    raise ValueError('a reason\nand more')


def exits(section: Section) -> None:
    sys.exit('a library has had enough')


def dies(section: Section) -> None:
    print('its last words', flush=True)
    os.abort()


def lacks(section: Section) -> None:
    import no_such_module  # noqa: F401


def hangs(section: Section) -> None:
    time.sleep(600)


def lives(section: Section) -> None:
    section.say('alive', os.getpid())


def test_check_that_fails():
    section = examine('a part', fails)
    assert dict(section.facts) == {'before': 'it failed'} and not section.usable
    finding = only_finding(section)
    assert finding.what.startswith('ValueError: a reason\nand more (') and 'test_doctor.py:' in finding.what
    assert 'SystemExit: a library has had enough' in only_finding(examine('a part', exits)).what
    assert only_finding(examine('a part', lacks)).todo.startswith('install the package anew')


def test_check_that_dies_or_hangs():
    checks = dict(
        first=Check(lives), death=Check(dies), heir=Check(lives, needs=('death',)), last=Check(lives)
    )
    first, death, heir, last = examine_all(checks)
    assert 'the process died of it: SIGABRT' in only_finding(death).what
    assert any('its last words' in line for line in death.noise) and 'its last words' in told(death)
    assert dict(heir.facts) == {'not tried': 'it needs death'}
    assert int(dict(first.facts)['alive']) != int(dict(last.facts)['alive']) != os.getpid()

    (section,) = examine_all(dict(hang=Check(hangs)), longest=0.5)
    assert only_finding(section).what == 'it was not done after 0 s, and was ended'


def test_no_process_can_be_started(monkeypatch):
    def folder():
        raise OSError('No space left on device')

    monkeypatch.setattr('rsmamba_mm.doctor.checks.tempfile.TemporaryDirectory', folder)
    first, second = examine_all(dict(first=Check(lives), second=Check(lives)))
    assert 'No space left on device' in only_finding(first).what and not second.findings
    assert dict(first.facts) == dict(second.facts) == {'alive': str(os.getpid())}


# what is printed ---------------------------------------------------------------------------------


def test_home_is_hidden(monkeypatch, section):
    monkeypatch.setattr(Path, 'home', lambda: Path('/home/me'))
    section.say('folders', '/home/me/a:/home/me, /home/me2 and file:///home/me/b /mnt/home/me')
    section.find('no /home/me/c', 'make "/home/me/c"')
    expected = '~/a:~, /home/me2 and file://~/b /mnt/home/me'
    assert expected in told(section) and expected in as_json([section])
    assert conclusion(section.findings) == [
        'to be mended: 1',
        '1. a part: no ~/c',
        '   What to do: make "~/c"',
    ]
    monkeypatch.setattr(Path, 'home', lambda: Path('/'))
    assert '/home/me/a' in told(section)


@pytest.fixture
def run(monkeypatch, capsys):
    """The command line on sections that are made up."""

    def run(*sections: Section, arguments=()):
        monkeypatch.setattr(doctor, 'examine_all', lambda: iter(sections))
        status = doctor.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


def test_command(run, tmp_path, section):
    section.say('name', 'value')
    status, out, _ = run(section, arguments=['--json', tmp_path / 'told.json'])
    assert status == 0 and out.startswith('a part\n  name  value\n') and out.endswith('\nok\n')
    assert json.loads((tmp_path / 'told.json').read_text()) == dict(
        ok=True, findings=[], sections=[dict(title='a part', facts=dict(name='value'), printed=[])]
    )
    section.find('something is wrong', 'mend it')
    status, out, _ = run(section)
    assert status == 1
    assert out.endswith('to be mended: 1\n1. a part: something is wrong\n   What to do: mend it\n')


def test_command_is_interrupted(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, 'examine_all', interrupted)
    assert doctor.main([]) == 130


def test_command_cannot_write(run, tmp_path, section):
    status, out, err = run(section, arguments=['--json', tmp_path / 'no' / 'told.json'])
    assert status == 2 and out.endswith('ok\n')
    assert err.startswith('rsmamba_mm.doctor: ') and 'cannot be written (No such file' in err
