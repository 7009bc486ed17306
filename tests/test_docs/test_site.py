"""What the site leaves out is found: tools, public classes, pages."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import rsmamba_mm.apis

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason='needs a source tree')


def test_every_tool_is_named():
    page = (DOCS / 'tools.md').read_text(encoding='utf-8')
    tools = [path for path in (ROOT / 'tools').rglob('*.[ps][yh]') if not path.name.startswith('_')]
    tools = [path for path in tools if path.parent.name != 'published']
    assert len(tools) > 30
    assert [path.name for path in tools if f'(../{path.relative_to(ROOT).as_posix()})' not in page] == []


def test_every_page_is_in_the_contents():
    for contents in (DOCS / 'index.md', DOCS / 'api' / 'index.md'):
        named = contents.read_text(encoding='utf-8')
        pages = [page.stem for page in contents.parent.glob('*.md') if page != contents]
        missing = [page for page in pages if not re.search(rf'\b{page}(>|/index)?$', named, re.MULTILINE)]
        assert missing == [], f'{contents.name} has no {missing}'


def test_every_public_name_has_its_place():
    pages = '\n'.join(page.read_text(encoding='utf-8') for page in (DOCS / 'api').glob('*.md'))
    shown = set(re.findall(r'auto(?:class|function):: \S+\.(\w+)', pages))
    for module in re.findall(r'automodule:: (\S+)', pages):
        shown |= set(import_module(module).__all__)
    public = {*rsmamba_mm.__all__, *rsmamba_mm.apis.__all__, *rsmamba_mm.apis._GEO} - {'__version__'}
    assert public - shown == set()
