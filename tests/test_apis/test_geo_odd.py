"""Odd rasters, each by its name: mapped with their exact coordinates, or refused before any computing."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mmseg.models')
pytest.importorskip('rasterio')
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from rsmamba_mm.apis import segment_raster
from rsmamba_mm.errors import MissingDataError, OptionError, OutputError

RED_GREEN_BLUE = ('red', 'green', 'blue')


@pytest.fixture
def mapped(segmenter, tmp_path):
    """Map a raster; labels, and the lines that are told."""

    def run(source, **options) -> tuple[np.ndarray, list[str]]:
        lines: list[str] = []
        result = segment_raster(source, tmp_path / 'map.tif', segmenter, tell=lines.append, **options)
        with rasterio.open(source) as raster, rasterio.open(result.map) as made:
            assert (made.crs, made.transform, made.shape) == (raster.crs, raster.transform, raster.shape)
            return made.read(1), lines

    return run


@pytest.fixture
def plain(segmenter, picture) -> np.ndarray:
    """The map of the picture."""
    return segmenter(np.ascontiguousarray(picture[::-1].transpose(1, 2, 0))).labels


def test_one_band(picture, write_raster, mapped):
    source = write_raster(picture[:1])
    with pytest.raises(
        OptionError, match=r'raster\.tif has 1 bands? \(gray\), the model takes 3: .*--bands 1 1 1'
    ):
        mapped(source)
    labels, _ = mapped(source, bands=[1, 1, 1])
    assert labels.max() < 8


def test_four_bands_with_a_model_of_three(picture, write_raster, mapped, plain):
    infrared = write_raster(np.concatenate([picture[:1] // 2, picture]), photometric='minisblack')
    with pytest.raises(
        OptionError, match=r'has 4 bands \(gray, undefined, .*\), the model takes 3: say which'
    ):
        mapped(infrared)
    labels, lines = mapped(infrared, bands=[2, 3, 4])
    assert (labels == plain).all() and lines[0] == 'bands: 2, 3, 4'
    with rasterio.open(infrared, 'r+') as raster:
        raster.colorinterp = [ColorInterp.undefined, *(ColorInterp[name] for name in RED_GREEN_BLUE)]
    labels, lines = mapped(infrared, overwrite=True)  # by their names
    assert (labels == plain).all() and lines[0] == 'bands: 2, 3, 4'
    with pytest.raises(OptionError, match=r'has 4 bands, but the bands \[1, 2, 5\] are asked for'):
        mapped(infrared, bands=[1, 2, 5], overwrite=True)
    with pytest.raises(OptionError, match=r'bands: the model takes 3, got \[1, 2\]'):
        mapped(infrared, bands=[1, 2], overwrite=True)


def test_alpha(picture, write_raster, mapped, plain):
    alpha = np.full_like(picture[:1], 255)
    alpha[:, 30:70, 20:90] = 0
    labels, _ = mapped(write_raster(np.concatenate([picture, alpha])))
    assert ((labels == 255) == (alpha[0] == 0)).all()
    assert (labels[:, 160:] == plain[:, 160:]).all()  # windows that do not see it


def test_16_bits(picture, write_raster, mapped, plain):
    values = picture.astype(np.uint16) * 30 + 200
    source = write_raster(values, photometric='rgb')
    labels, lines = mapped(source, scale=(200, 200 + 255 * 30))
    assert (labels == plain).mean() > 0.999
    assert lines[1] == 'values: uint16, 200 to 7850 become 0 to 255'
    _, lines = mapped(source, overwrite=True)
    assert 'become those of the training' in lines[1]
    with pytest.raises(OptionError, match='scale: two rising numbers'):
        mapped(source, scale=(5, 5), overwrite=True)
    with pytest.raises(OptionError, match="scale is auto, none, statistics or two numbers, got 'some'"):
        mapped(source, scale='some', overwrite=True)


def test_floats_with_nan(picture, write_raster, mapped, plain):
    values = picture.astype(np.float32) / 255
    values[:, 20:60, 10:50] = np.nan
    values[1, 100, 100] = np.inf
    source = write_raster(values, photometric='rgb')
    labels, _ = mapped(source, scale=(0, 1))
    missing = np.isnan(values).all(0)
    assert ((labels == 255) == missing).all()
    # another window sees no missing pixel
    assert (labels[:, 160:] == plain[:, 160:]).mean() > 0.99


def test_no_crs(picture, write_raster, segmenter, mapped, plain, tmp_path):
    source = write_raster(picture, crs=None, transform=None)
    labels, lines = mapped(source, areas=True, polygons='gpkg')
    assert (labels == plain).all()
    assert lines[2].endswith('has no coordinate reference system, and so will the map')
    rows = [line.split(',') for line in (tmp_path / 'map_areas.csv').read_text().splitlines()]
    assert [int(row[2]) for row in rows[1:]] == np.bincount(plain.ravel(), minlength=8).tolist()
    assert {row[4] for row in rows[1:]} == {''}
    with pytest.raises(OptionError, match=r'stac: .* has no coordinate reference system'):
        mapped(source, stac=True, overwrite=True)


@pytest.mark.parametrize(
    'transform, crs',
    [
        (Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6) * Affine.rotation(33.3), 'EPSG:32640'),  # rotated
        (Affine(0.5, 0, 3e5, 0, 0.5, 2.8e6), 'EPSG:32640'),  # south-up
        (Affine(1e-5, 0, 55.1, 0, -1e-5, 25.3), 'EPSG:4326'),
        (Affine(0.3, 0, 6.1e6, 0, -0.7, 2.9e6), 'EPSG:3857'),  # oblong pixels
    ],
    ids=['rotated', 'south-up', 'geographic', 'oblong'],
)
def test_coordinates_are_exact(picture, write_raster, mapped, plain, transform, crs):
    labels, _ = mapped(write_raster(picture, transform=transform, crs=crs), areas=True, stac=True)
    assert (labels == plain).all()


@pytest.mark.parametrize('height, width', [(40, 50), (1, 1), (5, 200), (64, 63)])
def test_smaller_than_a_window(picture, write_raster, mapped, height, width):
    labels, _ = mapped(write_raster(picture[:, :height, :width]), confidence='uint8')
    assert labels.shape == (height, width) and labels.max() < 8


@pytest.mark.slow
def test_100_by_50000_pixels(picture, write_raster, mapped):
    for name, bands in (
        ('wide', np.tile(picture[:, :100], (1, 1, 250))),
        ('high', np.tile(picture[:, :, :100], (1, 334, 1))[:, :50_000]),
    ):
        labels, _ = mapped(write_raster(bands, f'{name}.tif'), window=512, overlap=64, overwrite=True)
        assert labels.shape == bands.shape[1:] and labels.max() < 8


def test_all_without_data(picture, write_raster, mapped, segmenter, monkeypatch):
    monkeypatch.setattr(segmenter, 'logits', lambda *_: pytest.fail('nothing is to be computed'))
    source = write_raster(np.zeros_like(picture), nodata=0)
    labels, _ = mapped(source, areas=True, polygons='geojson', confidence='uint8', probabilities='float32')
    assert (labels == 255).all()


def test_a_truncated_file_is_refused_before_computing(
    picture, write_raster, mapped, segmenter, monkeypatch
):
    source = write_raster(np.tile(picture, (1, 2, 2)), tiled=True, blockxsize=64, blockysize=64)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(segmenter, 'logits', lambda *_: pytest.fail('nothing is to be computed'))
    with pytest.raises(MissingDataError, match=r'raster\.tif is truncated: it has \d+ bytes, and a block'):
        mapped(source)
    source.write_bytes(content[:20])
    with pytest.raises(MissingDataError, match=r'raster\.tif cannot be read as a raster'):
        mapped(source)


def test_a_block_that_cannot_be_read(picture, write_raster, mapped, tmp_path):
    source = write_raster(picture, compress='deflate', tiled=True, blockxsize=64, blockysize=64)
    content = bytearray(source.read_bytes())
    with rasterio.open(source) as raster:
        start = int(raster.get_tag_item('BLOCK_OFFSET_0_2', 'TIFF', bidx=1))
    content[start : start + 64] = bytes(64)
    source.write_bytes(bytes(content))
    with pytest.raises(
        MissingDataError, match=r'raster\.tif cannot be read at rows 86-150 .*fetch the file'
    ):
        mapped(source)
    assert (tmp_path / 'map.tif.part').is_dir() and not (tmp_path / 'map.tif').exists()


def test_what_cannot_be_written(picture, write_raster, segmenter, tmp_path):
    source = write_raster(picture)
    (tmp_path / 'file').touch()
    with pytest.raises(OutputError, match=r'file/maps cannot be made \(Not a directory\)'):
        segment_raster(source, tmp_path / 'file/maps/map.tif', segmenter)
    with pytest.raises(OutputError, match=r'/proc/maps cannot be made'):
        segment_raster(source, '/proc/maps/map.tif', segmenter)
    with pytest.raises(OptionError, match=r'a name that ends in \.tif, got .*map\.png'):
        segment_raster(source, tmp_path / 'map.png', segmenter)
    (tmp_path / 'folder.tif').mkdir()
    with pytest.raises(OptionError, match=r'folder\.tif is a folder'):
        segment_raster(source, tmp_path / 'folder.tif', segmenter)
    with pytest.raises(OptionError, match='is the raster itself'):
        segment_raster(source, source, segmenter, overwrite=True)


def test_a_full_disk_while_computing(picture, write_raster, segmenter, tmp_path, monkeypatch):
    source, dst = write_raster(picture), tmp_path / 'map.tif'
    written = []

    def store(path, content):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, 'No space left on device')
        written.append(path)
        return original(path, content)

    import rsmamba_mm.apis.geo.journal as journal

    original = journal.store
    with monkeypatch.context() as patch:
        patch.setattr(journal, 'store', store)
        with pytest.raises(OutputError, match=r'is full .*kept in map\.tif\.part: make room and repeat'):
            segment_raster(source, dst, segmenter)
    totals = []
    segment_raster(source, dst, segmenter, progress=lambda p: totals.append(p.total))
    assert totals == [2, 2]  # of three strips, one was there


LIMITED = """
import resource, sys
from rsmamba_mm.apis import LandCoverSegmenter, segment_raster
from rsmamba_mm.apis.geo import segment
from rsmamba_mm.errors import OutputError
config, checkpoint, source, dst = sys.argv[1:]
finish = segment.finish

def limited(*args):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # no file may grow beyond
    return finish(*args)

segment.finish = limited
try:
    segment_raster(source, dst, LandCoverSegmenter(config, checkpoint, device='cpu'))
except OutputError as error:
    print('refused:', error)
"""


@pytest.mark.slow
def test_a_full_disk_while_finishing(picture, write_raster, land_cover_files, segmenter, tmp_path):
    """GDAL cannot write the whole map: no half of one is left, and the same call goes on."""
    source, dst = write_raster(np.tile(picture, (1, 2, 2))), tmp_path / 'map.tif'
    command = [sys.executable, '-c', LIMITED, *land_cover_files, source, dst]
    output = subprocess.run(list(map(str, command)), capture_output=True, text=True).stdout
    assert 'refused: ' in output and 'labels.tif' in output
    assert not dst.exists() and Path(f'{dst}.part').is_dir()
    totals = []
    segment_raster(source, dst, segmenter, progress=lambda p: totals.append(p.total))
    assert not totals and dst.exists()
