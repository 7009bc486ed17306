"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the tree."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / 'CONTRIBUTING.md'

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not GUIDE.exists(), reason='needs a source tree')]


def test_recipes_run(monkeypatch, tmp_path):
    monkeypatch.delenv('RSMAMBA_DATA', raising=False)
    for folder in ('rsmamba_mm', 'configs'):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns('__pycache__'))
    tries = []
    for code in re.findall(r'^```python\n(.*?)^```$', GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        place = re.match(r'# (at the end of )?(\S+\.py)\n', code)
        if place is None:
            tries.append(code)
            continue
        appended, path = place[1], tmp_path / place[2]
        assert path.exists() == bool(appended), place[2]
        with path.open('a') as file:
            file.write('\n\n' + code[place.end() :])
    assert len(tries) == 4
    # one process for all of them: most of its time goes into imports
    command = [sys.executable, '-c', '\n'.join(tries)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
