"""What the built distributions carry."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BUILT = (
    '.venv*',
    '.git',
    'build',
    'dist',
    '*.egg-info',
    '.mim',
    '__pycache__',
    'work_dirs',
    'data',
)

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path):
    """A copy of the source tree: a build writes into the tree it builds."""
    if not (ROOT / 'setup.py').exists():
        pytest.skip('needs a source tree')
    return shutil.copytree(ROOT, tmp_path / 'tree', ignore=shutil.ignore_patterns(*BUILT))


def build(tree: Path, kind: str) -> Path:
    """Build a distribution as pip does and return its path."""
    dist = tree / 'dist'
    dist.mkdir(exist_ok=True)
    call = f'from setuptools.build_meta import *; print(build_{kind}({str(dist)!r}))'
    result = subprocess.run(
        [sys.executable, '-c', call], cwd=tree, check=True, capture_output=True, text=True
    )
    return dist / result.stdout.splitlines()[-1]


def names(folder: Path, *patterns: str) -> set[str]:
    """Files of a source folder, relative to its parent."""
    return {
        path.relative_to(folder.parent).as_posix()
        for pattern in patterns
        for path in folder.rglob(pattern)
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_one_version_everywhere():
    from rsmamba_mm import __version__

    about = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert about['version'] == __version__
    heading = f'## [{__version__}] - {about["date-released"]}\n'
    assert heading in (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')


def test_wheel(tree):
    (tree / 'rsmamba_mm' / 'ops' / 'native.cpp').touch()
    stale = tree / 'build' / 'lib' / 'rsmamba_mm' / '.mim' / 'configs' / 'removed.py'
    stale.parent.mkdir(parents=True)
    stale.touch()

    wheel = set(zipfile.ZipFile(build(tree, 'wheel')).namelist())
    files = {name for name in wheel if '.dist-info/' not in name}
    carried = names(tree / 'configs', '*') | names(tree / 'tools', '*')
    if (tree / 'model-index.yml').exists():
        carried.add('model-index.yml')
    assert carried, 'no configs and tools'
    assert files == names(tree / 'rsmamba_mm', '*.py', '*.cpp', '*.h', 'py.typed', 'zoo/*/*') | {
        f'rsmamba_mm/.mim/{name}' for name in carried
    }
    assert any(name.endswith('licenses/LICENSE') for name in wheel)


def test_wheel_with_libraries_names_its_platform(tree):
    assert build(tree, 'wheel').name.endswith('-py3-none-any.whl')
    library = tree / 'rsmamba_mm' / 'ops' / 'backends' / 'cpu' / 'lib' / 'scan_cpu_avx2_0.so'
    library.parent.mkdir()
    library.write_bytes(b'')
    wheel = build(tree, 'wheel')
    assert '-py3-none-' in wheel.name and not wheel.name.endswith('-any.whl')
    assert library.relative_to(tree).as_posix() in zipfile.ZipFile(wheel).namelist()

    library.unlink()  # and nothing of it stays in the build folder
    names = zipfile.ZipFile(build(tree, 'wheel')).namelist()
    assert not [name for name in names if name.endswith('.so')]


def test_sdist_builds_the_same_wheel(tree):
    with tarfile.open(build(tree, 'sdist')) as sdist:
        sdist.extractall(tree.parent / 'unpacked')
    (unpacked,) = (tree.parent / 'unpacked').iterdir()
    from_sdist, from_tree = (
        set(zipfile.ZipFile(build(source, 'wheel')).namelist()) for source in (unpacked, tree)
    )
    assert from_sdist == from_tree


def test_editable_install_copies_nothing(tree):
    build(tree, 'editable')
    assert not (tree / 'rsmamba_mm' / '.mim').exists()
