"""The measure of seams sees those that are there, and only those."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('mmseg.models')
rasterio = pytest.importorskip('rasterio')

pytestmark = pytest.mark.filterwarnings('ignore:Dataset has no geotransform')


@pytest.fixture
def changes(root, monkeypatch):
    monkeypatch.syspath_prepend(root / 'tools/analysis_tools')
    from benchmark_raster import changes

    return changes


def ground(size: int) -> np.ndarray:
    """Two classes in blots: what steps by itself."""
    noise = np.random.default_rng(0).random((size // 8, size // 8))
    return np.kron(noise > 0.5, np.ones((8, 8))).astype(np.uint8)


def test_changes_where_windows_meet(changes):
    places = [set(range(64, 512, 64)), set(range(32, 512, 64))]
    same, other = ground(512), ground(512)
    count, ratio, error = changes([same, other], places, 2)
    # 7 and 8 places along both sides; both maps are of one ground
    assert count == 30 and ratio == pytest.approx(1) and error == pytest.approx(0)
    for labels, first in ((same, 64), (other, 32)):
        for place in range(first, 512, 128):  # every other window sees one class alone
            labels[place : place + 64] = 1
    _, ratio, error = changes([same, other], places, 2)
    assert ratio - 3 * error > 1.5
    with pytest.raises(SystemExit, match='another overlap'):
        changes([same, other], [places[0], places[0]], 2)


@pytest.mark.slow
def test_seams_of_a_model(root, land_cover_files, picture, tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    with rasterio.open(
        images / 'a.png', 'w', driver='PNG', count=3, height=150, width=200, dtype='uint8'
    ) as f:
        f.write(picture)
    tool = root / 'tools/analysis_tools/benchmark_raster.py'
    args = ('seams', *land_cover_files, images, '--width', 300, '--height', 300, '--overlap', 16)
    result = subprocess.run(
        [sys.executable, *map(str, (tool, *args))], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    lines = [line.rsplit(maxsplit=1) for line in result.stdout.splitlines() if ' of 64 px: ' in line]
    figures = {name.strip(): float(value) for name, value in lines}
    assert figures['overlap 16 of 64 px: borders'] > 5
    assert figures['overlap 16 of 64 px: largest change, times that of the other map'] > 0
    assert figures['overlap 16 of 64 px: standard error of that'] > 0
