"""The picture of docs/scan.md is what its program draws."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / 'docs' / 'figures'


@pytest.mark.skipif(not FOLDER.exists(), reason='needs a source tree')
def test_the_picture_is_the_one_that_is_drawn():
    drawn = runpy.run_path(str(FOLDER / 'draw_scan.py'))['draw']()
    assert (FOLDER / 'scan.svg').read_text(encoding='utf-8') == drawn, 'run docs/figures/draw_scan.py'
    assert len(drawn) < 60_000
