"""GeoDeep, which maps rasters by ONNX files, runs ours by its own command."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COMMAND = Path(sys.executable).with_name('geodeep')


@pytest.mark.slow
def test_its_map_of_a_tile_is_ours(call, land_cover, tmp_path):
    for library in ('onnxruntime', 'onnxscript', 'rasterio'):
        pytest.importorskip(library)
    if not COMMAND.is_file():
        pytest.skip('geodeep is not installed')
    import rasterio
    from rasterio.transform import from_origin
    from scipy.ndimage import median_filter

    from rsmamba_mm.apis import LandCoverSegmenter

    model, scene, out = tmp_path / 'model.onnx', tmp_path / 'scene.tif', tmp_path / 'mask.tif'
    arguments = (*land_cover, model, '--for', 'geodeep', '--resolution', 50, '--work-dir', tmp_path / 'log')
    code, _, err = call('export.py', *arguments)
    assert code == 0, err
    coarse = np.random.default_rng(0).integers(0, 255, (3, 8, 8), dtype=np.uint8)
    pixels = coarse.repeat(8, 1).repeat(8, 2)
    profile = dict(driver='GTiff', width=64, height=64, count=3, dtype='uint8', crs='EPSG:32640')
    with rasterio.open(scene, 'w', transform=from_origin(3e5, 2.8e6, 0.5, 0.5), **profile) as file:
        file.write(pixels)
    command = [COMMAND, scene, model, '-t', 'mask', '-o', out, '--max-threads', '1']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with rasterio.open(out) as file:
        theirs = file.read(1)
    segmenter = LandCoverSegmenter(*map(str, land_cover), device='cpu')
    ours = segmenter([pixels[::-1].transpose(1, 2, 0).copy()])[0].labels
    assert len(np.unique(ours)) > 1
    # ahead of its map it takes the median of 5 x 5 pixels
    assert np.mean(theirs == median_filter(ours, 5)) >= 0.995
