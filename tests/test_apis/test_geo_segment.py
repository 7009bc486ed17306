"""Maps of land cover: what they show, how they are written, and how they go on after an interruption."""

import os
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmseg.models')
pytest.importorskip('rasterio')
import rasterio
from rio_cogeo import cog_validate

from rsmamba_mm.apis import LandCoverSegmenter, segment_raster
from rsmamba_mm.apis.geo.grid import Axis, Grid
from rsmamba_mm.apis.geo.options import RasterOptions
from rsmamba_mm.apis.geo.segment import window_and_stride
from rsmamba_mm.errors import OptionError

pytestmark = pytest.mark.filterwarnings('ignore:Dataset has no geotransform')


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read()


def test_the_map_is_that_of_the_whole_image(segmenter, picture, write_raster, tmp_path):
    """Windows, weights and order of adding are SmoothEncoderDecoder's."""
    result = segment_raster(write_raster(picture), tmp_path / 'map.tif', segmenter)
    whole = segmenter(np.ascontiguousarray(picture[::-1].transpose(1, 2, 0)))
    labels = read(result.map)[0]
    assert len(np.unique(labels)) > 2
    assert (labels == whole.labels).all()
    assert sum(whole.shares.values()) == pytest.approx(1) and whole.coloured.shape == (150, 200, 3)


@pytest.mark.slow
def test_what_is_written(segmenter, picture, write_raster, tmp_path):
    wide = np.tile(picture, (1, 4, 3))  # 600 × 600: more than a block
    wide[:, :40, :30] = 0
    source = write_raster(wide, nodata=0)
    result = segment_raster(
        source,
        tmp_path / 'out/map.tif',
        segmenter,
        confidence='uint8',
        probabilities='float32',
        batch_size=4,
    )
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
        'map.tif', 'map.tif.aux.xml', 'map_confidence.tif',
        'map_probabilities.tif',
    ]  # fmt: skip
    with rasterio.open(source) as raster:
        crs, transform = raster.crs, raster.transform
    for path in result.files.values():
        valid, errors, warnings = cog_validate(path)
        assert valid and not errors and not warnings
        with rasterio.open(path) as raster:
            assert (raster.crs, raster.transform, raster.shape) == (crs, transform, (600, 600))
            assert raster.overviews(1) == [2]
    with rasterio.open(result.map) as raster:
        labels = raster.read(1)
        assert raster.dtypes == ('uint8',) and raster.nodata == 255
        colours = raster.colormap(1)
        assert [list(colours[i][:3]) for i in range(8)] == segmenter.palette
    assert ((labels == 255) == (wide == 0).all(0)).all()
    categories = (tmp_path / 'out/map.tif.aux.xml').read_text()
    assert [name for name in segmenter.classes if f'<Category>{name}</Category>' in categories] == (
        segmenter.classes
    )
    with rasterio.open(result.files['probabilities']) as raster:
        scores = raster.read()
        assert raster.descriptions == tuple(segmenter.classes)
    here = labels < 255
    assert np.isnan(scores[:, ~here]).all()
    assert np.allclose(scores[:, here].sum(0), 1, atol=1e-5)
    assert (scores.argmax(0) == labels)[here].all()
    with rasterio.open(result.files['confidence']) as raster:
        confidence = raster.read(1)
        assert raster.nodata == 255 and raster.scales == (1 / 254,)
    assert (confidence[~here] == 255).all()
    assert (confidence[here] == np.rint(scores.max(0)[here] * 254)).all()


@pytest.mark.parametrize('columns', [1, 100, 10**6])
def test_panels_bound_the_memory_and_change_nothing(
    segmenter, picture, write_raster, tmp_path, columns, monkeypatch
):
    monkeypatch.setattr('rsmamba_mm.apis.geo.segment.SUMS', columns * 8 * 4 * 64)
    monkeypatch.setattr('rsmamba_mm.apis.geo.segment.LEAST', 1)
    path = segment_raster(write_raster(picture), tmp_path / 'map.tif', segmenter).map
    whole = segmenter(np.ascontiguousarray(picture[::-1].transpose(1, 2, 0)))
    assert (read(path)[0] == whole.labels).all()


def test_where_the_pipeline_halves_images_windows_are_twice_what_the_model_sees():
    segmenter = LandCoverSegmenter('unetmamba-tiny_dubai', device='cpu')
    assert segmenter.scale_factor == 0.5
    assert window_and_stride(segmenter, RasterOptions()) == (512, 256)


@pytest.mark.parametrize('length', [1, 40, 64, 65, 100, 112, 200])
def test_windows_along_a_side(length):
    axis = Axis(length, 64, 48)
    assert (axis.weights[:length] > 0).all()
    cores = [axis.core(i) for i in range(len(axis))]
    assert cores[0][0] == 0 and cores[-1][1] == length
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in pairwise(cores))
    for index, (start, _) in enumerate(cores):
        reaching = [i for i, s in enumerate(axis.starts) if s < cores[index][1] and s + axis.window > start]
        assert reaching[0] == axis.reaching(index) and reaching[-1] == index


def test_windows_overlap_as_the_config_says_else_by_half(segmenter, picture, write_raster, tmp_path):
    assert window_and_stride(segmenter, RasterOptions()) == (64, 48)
    assert window_and_stride(segmenter, RasterOptions(window=96)) == (96, 48)
    for overlap, told in ((None, True), (32, False)):
        notes: list[str] = []
        segment_raster(
            write_raster(picture[:, :32, :32]),
            tmp_path / 'map.tif',
            segmenter,
            overlap=overlap,
            tell=notes.append,
            overwrite=True,
        )
        expected = 'overlap: where windows meet shows least with 32 px, at 2.2 times the windows'
        assert (expected in notes) == told


def test_strips_cover_a_raster_once():
    seen = np.zeros((300, 410), int)
    grid = Grid((300, 410), (64, 64), (48, 48), columns=150)
    assert len(grid.panels) == 3
    for strip in grid.strips:
        seen[strip.top : strip.bottom, strip.left : strip.right] += 1
    assert (seen == 1).all()


class Interrupted(Exception):
    pass


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


ALL = dict(confidence='float32', probabilities='uint8', polygons='gpkg', areas=True, stac=True, style=True)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(segmenter, picture, write_raster, tmp_path):
    source = write_raster(picture)
    segment_raster(source, tmp_path / 'whole/map.tif', segmenter, **ALL)
    dst = tmp_path / 'parts/map.tif'
    counts = []
    for last in (1, 1, None):

        def stop(progress, last=last):
            counts.append(progress.total)
            if progress.done == last:
                raise Interrupted

        try:
            segment_raster(source, dst, segmenter, progress=stop, **ALL)
        except Interrupted:
            assert dst.with_name('map.tif.part').is_dir() and not dst.exists()
    assert counts == [3, 2, 1]
    assert files_of(tmp_path / 'parts') == files_of(tmp_path / 'whole')


def test_a_journal_of_other_settings_is_refused(segmenter, picture, write_raster, tmp_path):
    def stop(progress):
        raise Interrupted

    source, dst = write_raster(picture), tmp_path / 'map.tif'
    with pytest.raises(Interrupted):
        segment_raster(source, dst, segmenter, progress=stop)
    with pytest.raises(
        OptionError, match=r'map\.tif\.part is of an interrupted run .*batch_size was 1 and is 2'
    ):
        segment_raster(source, dst, segmenter, batch_size=2)
    segment_raster(source, dst, segmenter, batch_size=2, restart=True)
    assert not dst.with_name('map.tif.part').exists()
    with pytest.raises(OptionError, match=r'map\.tif is there already: .*--overwrite'):
        segment_raster(source, dst, segmenter)
    segment_raster(source, dst, segmenter, overwrite=True)


def test_other_threads_are_refused(segmenter, picture, write_raster, tmp_path):
    """Sums are rounded otherwise with another number of threads."""

    def stop(progress):
        raise Interrupted

    source, dst = write_raster(picture), tmp_path / 'map.tif'
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with pytest.raises(Interrupted):
            segment_raster(source, dst, segmenter, progress=stop)
        torch.set_num_threads(3)
        with pytest.raises(
            OptionError, match=r'threads was 1 and is 3\. .*\(OMP_NUM_THREADS=1\).*--restart'
        ):
            segment_raster(source, dst, segmenter)
    finally:
        torch.set_num_threads(threads)


def test_one_channel_for_two_classes_is_refused(binary_files, picture, write_raster, tmp_path):
    segmenter = LandCoverSegmenter(*binary_files, device='cpu')
    with pytest.raises(
        OptionError, match=r'water\.py: decode_head\.out_channels is 1, .* 2 classes\. .*out_channels=2'
    ):
        segment_raster(write_raster(picture), tmp_path / 'map.tif', segmenter)
    assert not list(tmp_path.glob('map*'))
    # one image is predicted, as the message says
    labels = segmenter(np.ascontiguousarray(picture[::-1].transpose(1, 2, 0))).labels
    assert labels.shape == (150, 200) and labels.max() <= 1


def call(root: Path, *args, processes: int = 0) -> subprocess.Popen:
    command = [sys.executable]
    if processes:
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        command += ['-m', 'torch.distributed.run', '--nproc-per-node', processes, '--master-port', port]
    command += [root / 'tools/segment_raster.py', *args, '--device', 'cpu']
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )


@pytest.mark.slow
def test_killed_and_shared_among_processes(root, land_cover_files, picture, write_raster, tmp_path):
    """The same bytes from one process, from one that is killed and goes on, and from two."""
    source = write_raster(np.tile(picture, (1, 4, 4)))
    options = ('--confidence', '--probabilities', '--polygons', '--areas', '--stac', '--style')

    def run(folder: str, processes: int = 0) -> subprocess.Popen:
        return call(
            root, *land_cover_files, source, tmp_path / folder / 'map.tif', *options, processes=processes
        )

    whole = run('whole')
    output = whole.communicate()[0]
    assert whole.returncode == 0, output
    assert '13 of 13 strips, 100%' in output
    killed = run('killed')
    labels = tmp_path / 'killed/map.tif.part/labels'
    while killed.poll() is None and len(list(labels.glob('*.tif'))) < 5:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    for folder, processes in (('killed', 0), ('shared', 2)):
        process = run(folder, processes)
        output = process.communicate()[0]
        assert process.returncode == 0, output
        assert files_of(tmp_path / folder) == files_of(tmp_path / 'whole')
