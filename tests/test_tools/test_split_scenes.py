import cv2
import numpy as np
import pytest
from commands import call

from rsmamba_mm.datasets import UCMerced


def split(*args):
    return call('dataset_converters/split_scenes.py', *args)


@pytest.fixture
def ucmerced(tmp_path):
    for label in UCMerced.METAINFO['classes']:
        (tmp_path / 'Images' / label).mkdir(parents=True)
        for index in range(10):
            image = np.full((8, 8, 3), (10, 20, 30), np.uint8)  # blue, green, red
            image[:4] += 2
            cv2.imwrite(str(tmp_path / 'Images' / label / f'{label}{index:02d}.png'), image)
    return tmp_path


def test_published_share_and_statistics(ucmerced):
    result = split('ucmerced', ucmerced)
    assert result.returncode == 0, result.stderr
    assert '210 images found; UCMerced as published has 2100' in result.stdout
    lists = [(ucmerced / f'{name}.txt').read_text().split() for name in ('train', 'val')]
    assert [len(lines) for lines in lists] == [147, 63] and not set(lists[0]) & set(lists[1])
    assert lists[0][0].startswith('agricultural/agricultural')
    assert 'mean=[31.0, 21.0, 11.0]' in result.stdout and 'std=[1.0, 1.0, 1.0]' in result.stdout
    # the configs read what was written: a tenth held out, the rest to train on
    part = UCMerced(str(ucmerced), ann_file='train.txt', holdout=0.1)
    assert len(part) == 126
    again = split('ucmerced', ucmerced, '--out', ucmerced / 'again')
    assert (ucmerced / 'again/train.txt').read_text() == (ucmerced / 'train.txt').read_text(), again
    other = split('ucmerced', ucmerced, '--out', ucmerced / 'other', '--seed', 1, '--train', 0.5)
    assert len((ucmerced / 'other/train.txt').read_text().split()) == 105, other


def test_unreadable_images_are_all_named(ucmerced):
    river, beach = (ucmerced / f'Images/{name}/{name}03.png' for name in ('river', 'beach'))
    river.write_bytes(river.read_bytes()[:60])
    beach.write_text('nothing')
    result = split('ucmerced', ucmerced)
    assert result.returncode == 2
    assert '2 images cannot be read; fetch them again' in result.stderr
    assert str(river) in result.stderr and str(beach) in result.stderr


def test_rasters(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    for label, level in (('field', 1000), ('water', 3000)):
        (tmp_path / label).mkdir()
        for index in range(5):
            settings = dict(driver='GTiff', count=5, height=4, width=6, dtype='uint16')
            settings.update(transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 4e6))
            with rasterio.open(tmp_path / label / f'{index}.tif', 'w', **settings) as raster:
                raster.write(np.full((5, 4, 6), level, np.uint16))
    result = split('folder', tmp_path, '--bands')
    assert result.returncode == 0, result.stderr
    assert '2 classes; of the training images, 5 bands' in result.stdout
    assert f'mean={[2000.0] * 5}' in result.stdout and f'std={[1000.0] * 5}' in result.stdout


def test_refusals(tmp_path):
    result = split('aid', tmp_path)
    assert result.returncode == 2 and 'no class folders in' in result.stderr
    assert 'split_scenes.py aid FOLDER' in result.stderr and 'Traceback' not in result.stderr
    result = split('aid', tmp_path, '--train', 1)
    assert '--train is a share between 0 and 1, got 1.0' in result.stderr
