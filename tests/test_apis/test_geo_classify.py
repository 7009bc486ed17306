"""Coarse maps of scenes, and the command line."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('rasterio')
import rasterio

from rsmamba_mm.apis import classify_raster, segment_raster
from rsmamba_mm.apis.geo.classify import seen
from rsmamba_mm.apis.geo.command import duration
from rsmamba_mm.errors import OptionError


@pytest.fixture
def wide(picture) -> np.ndarray:
    return np.tile(picture, (1, 3, 2))[:, :400, :310]


def test_a_pixel_is_a_scene(classifier, wide, write_raster, tmp_path):
    wide = wide.copy()
    wide[:, 250:400, 150:310] = 0
    source = write_raster(wide, nodata=0)
    result = classify_raster(
        source, tmp_path / 'map.tif', classifier, window=100, batch_size=3, confidence='float32', areas=True
    )
    with rasterio.open(source) as raster, rasterio.open(result.map) as made:
        labels = made.read(1)
        assert made.crs == raster.crs and made.shape == (4, 4)
        assert made.transform == raster.transform * raster.transform.scale(100)
    scenes = [
        classifier(np.ascontiguousarray(wide[::-1, top : top + 100, left : left + 100].transpose(1, 2, 0)))
        for top, left in ((0, 0), (100, 200), (0, 210), (200, 100))
    ]
    cells = [labels[0, 0], labels[1, 2], labels[0, 3], labels[2, 1]]  # the last column is moved inward
    assert [classifier.classes[cell] for cell in cells] == [scene.label for scene in scenes]
    assert (np.argwhere(labels == 255) == [[3, 2], [3, 3]]).all()
    with rasterio.open(result.files['confidence']) as raster:
        assert raster.read(1)[0, 0] == pytest.approx(scenes[0].score, abs=1e-5)
    assert scenes[0].top(3)[0] == (scenes[0].label, scenes[0].score)
    assert sum(result.areas.values()) == pytest.approx(14 * 50 * 50, rel=1e-3)


@pytest.mark.slow
def test_scenes_with_overlap_and_resumed(classifier, wide, write_raster, tmp_path):
    source = write_raster(wide)

    class Interrupted(Exception):
        pass

    def stop(progress):
        if progress.done == 3:
            raise Interrupted

    options = dict(window=100, overlap=50, tta=True, probabilities='uint8')
    with pytest.raises(Interrupted):
        classify_raster(source, tmp_path / 'a.tif', classifier, progress=stop, **options)
    for name in 'ab':
        classify_raster(source, tmp_path / f'{name}.tif', classifier, **options)
        with rasterio.open(tmp_path / f'{name}.tif') as raster:
            assert raster.shape == (8, 7) and raster.res == (25, 25)
    for suffix in ('.tif', '_probabilities.tif'):
        assert (tmp_path / f'a{suffix}').read_bytes() == (tmp_path / f'b{suffix}').read_bytes()


def test_smaller_than_a_scene(classifier, picture, write_raster, tmp_path):
    assert seen(classifier) == 128  # what its pipeline takes
    result = classify_raster(write_raster(picture[:, :40, :30]), tmp_path / 'map.tif', classifier)
    with rasterio.open(result.map) as raster:
        assert raster.shape == (1, 1) and raster.read(1)[0, 0] < 16


def test_options(classifier, picture, write_raster, tmp_path):
    source = write_raster(picture)
    with pytest.raises(OptionError, match='overlap is at most half a window of 100 px, got 60'):
        classify_raster(source, tmp_path / 'map.tif', classifier, window=100, overlap=60)
    for wrong, message in (
        (dict(confidence='int8'), "confidence: uint8 or float32, got 'int8'"),
        (dict(polygons='shp'), "polygons: gpkg or geojson, got 'shp'"),
        (dict(batch_size=0), 'batch_size must be at least 1, got 0'),
        (dict(window=8), 'window must be at least 32, got 8'),
        (dict(simplify=1), 'simplify and min_area are of polygons'),
    ):
        with pytest.raises(OptionError, match=message):
            classify_raster(source, tmp_path / 'map.tif', classifier, **wrong)
    with pytest.raises(TypeError, match='batchsize'):
        classify_raster(source, tmp_path / 'map.tif', classifier, batchsize=2)


def test_a_duration():
    assert [duration(s) for s in (3.4, 75, 7380)] == ['3 s', '1 min 15 s', '2 h 03 min']


@pytest.fixture
def call(root):
    def run(*args) -> subprocess.CompletedProcess:
        command = [sys.executable, root / 'tools/segment_raster.py', *args]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_the_command_line(call, land_cover_files, segmenter, scene_files, picture, write_raster, tmp_path):
    source = write_raster(picture)
    ours = segment_raster(source, tmp_path / 'ours.tif', segmenter, batch_size=2, confidence='uint8')
    options = ('--batch-size', 2, '--confidence', '--areas', '--device', 'cpu')
    done = call(*land_cover_files, source, tmp_path / 'map.tif', *options)
    assert done.returncode == 0, done.stderr
    for path, name in ((ours.map, 'map.tif'), (ours.files['confidence'], 'map_confidence.tif')):
        with rasterio.open(path) as a, rasterio.open(tmp_path / name) as b:
            assert (a.read() == b.read()).mean() > 0.999
    assert 'bands: 1, 2, 3' in done.stdout and f'map: {tmp_path / "map.tif"}' in done.stdout
    assert f'{segmenter.classes[0]}: ' in done.stdout
    done = call(*land_cover_files, source, tmp_path / 'map.tif')
    assert done.returncode == 2 and 'map.tif is there already' in done.stderr
    assert 'Traceback' not in done.stderr
    done = call(*scene_files, source, tmp_path / 'scenes.tif', '--window', 50, '--device', 'cpu')
    assert done.returncode == 0 and '3 rows of 4' in done.stdout, done.stderr


def test_without_the_extra_it_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith('rsmamba_mm.apis.geo')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'pyogrio', None)
    import rsmamba_mm.apis

    with pytest.raises(
        ImportError, match=r'maps of rasters need pyogrio, .*pip install "rsmamba_mm\[geo\]"'
    ):
        _ = rsmamba_mm.apis.segment_raster
