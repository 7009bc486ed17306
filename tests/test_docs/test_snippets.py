"""Every command and every Python block of README.md and docs/, run page by page as a reader would; those of
the other pages are parsed, and their tools, configs and options looked up.

A block is run as it stands, unless a comment in the line above it says otherwise: ``run as: COMMAND`` gives
one of the same form that is shorter; ``not run: REASON`` has it parsed alone, and its tools and their
options looked up.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
OTHERS = [ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('configs/*/README.md'))]  # their tests are elsewhere
BLOCK = re.compile(
    r'(?:^<!-- (?P<how>not run|run as): (?P<what>.*?) -->\n)?^```(?P<kind>bash|python)\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
# what a page's process does: blocks in their order, Python in one namespace
RUNNER = """
import json, subprocess, sys
names = {'__name__': 'page'}
for kind, text in json.load(open(sys.argv[1])):
    print('==', text, flush=True)
    if kind == 'python':
        exec(compile(text, '<page>', 'exec'), names)
    else:
        subprocess.run(['bash', '-euo', 'pipefail', '-c', text], check=True)
"""


class Block(NamedTuple):
    """A block of a page, and what the comment above it says."""

    kind: str
    text: str
    how: str | None
    what: str | None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page."""
    found = BLOCK.finditer(page.read_text(encoding='utf-8'))
    return [Block(block['kind'], block['text'], block['how'], block['what']) for block in found]


def steps(page: Path) -> list[tuple[str, str]]:
    """What of a page is run."""
    shown = [block for block in blocks(page) if block.how != 'not run']
    return [(block.kind, block.what if block.how else block.text) for block in shown]


RUN = [page for page in PAGES if steps(page)]
pytestmark = pytest.mark.skipif(not (ROOT / 'docs').is_dir(), reason='needs a source tree')


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.slow
@pytest.mark.parametrize('page', RUN, ids=named)
def test_the_blocks_run(page, tmp_path):
    for folder in ('configs', 'tools', 'docs'):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / 'steps.json').write_text(json.dumps(steps(page)))
    environment = {k: v for k, v in os.environ.items() if k not in ('RSMAMBA_DATA', 'RECIPE')}
    environment |= dict(
        PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]).rstrip(os.pathsep),
    )
    command = [sys.executable, '-c', RUNNER, 'steps.json']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f'{named(page)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'


@pytest.mark.parametrize('page', [*PAGES, *OTHERS], ids=named)
def test_the_blocks_can_be_read(page):
    for block in blocks(page):
        if block.kind == 'python':
            compile(block.text, named(page), 'exec')
            continue
        read = subprocess.run(['bash', '-n', '-c', block.text], capture_output=True, text=True)
        assert read.returncode == 0, f'{named(page)}: {read.stderr}'
        for line in block.text.replace('\\\n', ' ').splitlines():
            for command in commands(line):
                check_command(named(page), command)


def commands(line: str) -> list[list[str]]:
    """The words of each command of a line of the shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=';&|')
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(';&|'):
            found.append([])
        else:
            found[-1].append(word)
    return found


def check_command(page: str, words: list[str]) -> None:
    """The tools and configs that a command names are there, and its options are those of the tool."""
    for word in words:
        if re.fullmatch(r'(tools|configs|demo|docs)/[\w./-]+', word):
            assert (ROOT / word).exists(), f'{page}: {word} is not there'
    tool = next((word for word in words if re.fullmatch(r'tools/[\w/]+\.(py|sh)', word)), None)
    if tool is None:
        return
    text = (ROOT / tool).read_text(encoding='utf-8')
    shared = [ROOT / 'rsmamba_mm/command_line.py', *(ROOT / tool).parent.glob('_*.py')]
    known = '\n'.join([text, *(path.read_text(encoding='utf-8') for path in shared)])
    for word in words[words.index(tool) :]:
        option = word.partition('=')[0]
        if re.fullmatch(r'--[a-z][a-z-]+', option) and not tool.startswith('tools/dist_'):
            written = re.search(rf'(?<![\w-]){option[2:]}(?![\w-])|{option}\b', known)  # some are in a list
            assert written, f'{page}: {tool} has no option {option}'


def test_a_page_that_is_wrong_is_found(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('<!-- not run: no -->\n```bash\nfalse\n```\n\n```python\nx = 1\n```\n')
    assert steps(page) == [('python', 'x = 1\n')]
    for command in (
        'python tools/no.py',
        'python tools/train.py CONFIG --resum',
        'tools/train.py configs/no.py',
    ):
        with pytest.raises(
            AssertionError, match=r'page: (tools/no\.py is|tools/train\.py has no|configs/no)'
        ):
            check_command('page', command.split())
