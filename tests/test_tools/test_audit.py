"""The audit of what is installed, on packages that are made up."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from commands import ROOT, call

MIT = 'Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software'
AGPL = '          GNU AFFERO GENERAL PUBLIC LICENSE\n          Version 3, 19 November 2007'
APACHE = 'Copyright (c) Somebody.\n\n   Licensed under the Apache License,\n   Version 2.0 (the "License")'


@pytest.fixture
def audit(monkeypatch):
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location('audit', ROOT / 'tools' / 'audit.py')
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'audit', module)
    spec.loader.exec_module(module)
    return module


def install(folder: Path, name: str, *lines: str, version: str = '1.0', licence: str = '') -> Path:
    """A package of which there is only what it says of itself."""
    info = folder / f'{name}-{version}.dist-info'
    (info / 'licenses').mkdir(parents=True)
    head = ('Metadata-Version: 2.4', f'Name: {name}', f'Version: {version}')
    (info / 'METADATA').write_text('\n'.join([*head, *lines, '', 'About it.']))
    files = [f'{info.name}/METADATA']
    if licence:
        (info / 'licenses' / 'LICENSE.txt').write_text(licence)
        files.append(f'{info.name}/licenses/LICENSE.txt')
    (info / 'RECORD').write_text(''.join(f'{file},,\n' for file in files))
    return folder


def text(words: str) -> str:
    """A licence's text as metadata have it."""
    return 'License: ' + words.replace('\n', '\n        ')


@pytest.mark.parametrize(
    ('lines', 'licence', 'family'),
    [
        (['License-Expression: MIT'], '', 'MIT'),
        (['License-Expression: mit OR GPL-3.0-only'], '', 'MIT'),
        (['License-Expression: (LicenseRef-Own OR BSD-3-Clause) AND Apache-2.0'], '', 'Apache, BSD'),
        (['License-Expression: Apache-2.0 WITH LLVM-exception'], '', 'Apache'),
        (['License: UNKNOWN', 'Classifier: License :: OSI Approved :: MIT License'], '', 'MIT'),
        (['License: New BSD', 'Classifier: License :: OSI Approved :: BSD License'], '', 'BSD'),
        (['Classifier: License :: OSI Approved'], MIT, 'MIT'),  # which says nothing by itself
        ([text(APACHE)], '', 'Apache'),
        ([], APACHE, 'Apache'),
    ],
)
def test_allowed_licences(tmp_path, lines, licence, family):
    result = call('audit.py', install(tmp_path, 'some', *lines, licence=licence), '--only', 'licences')
    assert result.returncode == 0
    assert f'  {family}  ' in result.stdout and 'licences: done, ok' in result.stdout


@pytest.mark.parametrize(
    ('lines', 'licence', 'told'),
    [
        ([], '', 'it does not say its licence'),
        (
            ['License: Ask us', 'Classifier: License :: OSI Approved :: MIT License'],
            '',
            "'Ask us' is not in",
        ),
        (['License-Expression: CC-BY-NC-4.0'], MIT, "'CC-BY-NC-4.0' is not in licences.json"),
        (['License-Expression: MIT AND AGPL-3.0-only'], '', "'MIT AND AGPL-3.0-only' is not in"),
        (['License-Expression: (MIT'], '', "'(MIT' is not in"),
        ([text(AGPL)], '', "'GNU (A)GPL' is not in"),
        ([], AGPL, "'GNU (A)GPL' is not in"),
        ([], f'{MIT}, for non-commercial use only', "'non-commercial' is not in"),
        (['Classifier: License :: Other/Proprietary License'], '', "'Other/Proprietary License' is not in"),
    ],
)
def test_other_licences_are_refused(tmp_path, lines, licence, told):
    install(tmp_path, 'fine', 'License-Expression: MIT')
    result = call('audit.py', install(tmp_path, 'some', *lines, licence=licence), '--only', 'licences')
    assert result.returncode == 1
    assert f'! some 1.0: {told}' in result.stdout and 'licences: done, ' in result.stdout
    assert '! fine' not in result.stdout


def test_exceptions_are_for_one_licence_and_one_use(audit, monkeypatch, tmp_path):
    agpl = 'Classifier: License :: OSI Approved :: GNU Affero General Public License v3'
    folder = install(tmp_path / 'site', 'GeoDeep', agpl)
    result = call('audit.py', folder, '--only', 'licences')
    assert result.returncode == 0 and 'exception: GeoDeep 1.0: GNU Affero' in result.stdout

    install(folder, 'nvidia_other', agpl)
    result = call('audit.py', folder, '--only', 'licences')
    assert result.returncode == 1 and '! nvidia_other 1.0: ' in result.stdout

    (tmp_path / 'requirements').mkdir()
    (tmp_path / 'requirements' / 'runtime.txt').write_text('numpy\ngeodeep>=0.9  # to map\n')
    monkeypatch.setattr(audit, 'ROOT', tmp_path)
    problem = 'geodeep is an exception for tests, and runtime.txt names it'
    assert list(audit._elsewhere('geodeep', ['tests'])) == [problem]


def test_nothing_is_installed(tmp_path):
    result = call('audit.py', tmp_path, '--only', 'licences')
    assert result.returncode == 1 and 'no package is installed in' in result.stdout


class TestVulnerabilities:
    """What is made of pip-audit's answers."""

    @pytest.fixture
    def answers(self, audit, monkeypatch, tmp_path, capsys):
        """Run the part with what a service says of each release; one that it does not know is skipped."""
        install(tmp_path, 'torch', version='2.9.0+cpu')
        install(tmp_path, 'rsmamba_mm')

        def run(**services) -> tuple[int, str]:
            def pip_audit(pins, service):
                if service not in services:
                    raise audit.NotDoneError('no such host')
                known = services[service]
                return [
                    dict(name=name, version=version, **known.get(pin, dict(skip_reason='not found')))
                    for pin in pins
                    for name, version in [pin.split('==')]
                ]

            monkeypatch.setattr(audit, 'pip_audit', pip_audit)
            monkeypatch.setattr('sys.argv', ['audit.py', str(tmp_path), '--only', 'vulnerabilities'])
            try:
                audit.main()
            except SystemExit as end:
                return end.code, capsys.readouterr().out
            return 0, capsys.readouterr().out

        return run

    CANARY = {'pyyaml==5.3': dict(vulns=[dict(id='A-1', fix_versions=['5.4'])])}

    def test_none(self, answers):
        status, said = answers(pypi=self.CANARY | {'torch==2.9.0': dict(vulns=[])})
        assert status == 0 and '1 releases looked up (pypi)' in said

    def test_one(self, answers):
        flaw = dict(vulns=[dict(id='A-2', fix_versions=['2.9.1', '2.10.0'])])
        status, said = answers(osv=self.CANARY | {'torch==2.9.0': flaw})  # the other service is not reached
        assert status == 1 and '! torch 2.9.0: A-2, mended in 2.9.1, 2.10.0' in said
        assert 'vulnerabilities: done, 1 found' in said

    def test_release_that_is_not_known(self, answers):
        status, said = answers(pypi=self.CANARY)
        assert status == 1 and '! torch was not looked up: not found' in said

    def test_a_mirror_that_knows_no_flaws(self, answers):
        status, said = answers(pypi={'pyyaml==5.3': dict(vulns=[]), 'torch==2.9.0': dict(vulns=[])})
        assert status == 1 and 'vulnerabilities: NOT DONE' in said and 'looked up (' not in said
        assert 'no vulnerability was looked up. pypi: it answers, and knows no flaw of pyyaml==5.3' in said
        assert 'osv: no such host' in said


def test_bill_of_materials_names_no_folder_of_this_machine(audit, monkeypatch, tmp_path):
    links = [dict(type='distribution', url='file:///home/me'), dict(type='vcs', url='https://example.org')]
    bill = dict(
        specVersion='1.6',
        metadata={},
        components=[dict(name='rsmamba_mm', externalReferences=links), dict(name='numpy')],
    )
    file = tmp_path / 'dist' / 'sbom.json'

    def run(command, **options):
        Path(command[command.index('-o') + 1]).write_text(json.dumps(bill))
        return audit.subprocess.CompletedProcess(command, 0, '', '')

    monkeypatch.setattr(audit.subprocess, 'run', run)
    audit.sbom(audit.argparse.Namespace(environment='.venv', sbom=file))
    written = json.loads(file.read_text())
    assert 'file:' not in file.read_text()
    assert written['metadata']['component']['externalReferences'] == links[1:]
    assert [each['name'] for each in written['components']] == ['numpy']
