import csv
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rsmamba_mm.datasets import UCMerced, render_scene
from rsmamba_mm.datasets.duplicates import near_duplicates, perceptual_hashes

SHARED = Path(__file__).parents[3] / 'shared/data/ucmerced'


@pytest.fixture
def split(call):
    return partial(call, 'dataset_converters/split_scenes.py')


@pytest.fixture
def ucmerced(tmp_path):
    for label in UCMerced.METAINFO['classes']:
        (tmp_path / 'Images' / label).mkdir(parents=True)
        for index in range(10):
            image = np.full((8, 8, 3), (10, 20, 30), np.uint8)  # blue, green, red
            image[:4] += 2
            cv2.imwrite(str(tmp_path / 'Images' / label / f'{label}{index:02d}.png'), image)
    return tmp_path


def test_published_share_and_statistics(split, ucmerced):
    result = split('ucmerced', ucmerced)
    assert result.code == 0, result.err
    assert '210 images found; UCMerced as published has 2100' in result.out
    lists = [(ucmerced / f'{name}.txt').read_text().split() for name in ('train', 'val')]
    assert [len(lines) for lines in lists] == [147, 63] and not set(lists[0]) & set(lists[1])
    assert lists[0][0].startswith('agricultural/agricultural')
    assert 'mean=[31.0, 21.0, 11.0]' in result.out and 'std=[1.0, 1.0, 1.0]' in result.out
    # the configs read what was written: a tenth held out, the rest to train on
    part = UCMerced(str(ucmerced), ann_file='train.txt', holdout=0.1)
    assert len(part) == 126
    again = split('ucmerced', ucmerced, '--out', ucmerced / 'again')
    assert (ucmerced / 'again/train.txt').read_text() == (ucmerced / 'train.txt').read_text(), again
    other = split('ucmerced', ucmerced, '--out', ucmerced / 'other', '--seed', 1, '--train', 0.5)
    assert len((ucmerced / 'other/train.txt').read_text().split()) == 105, other


def test_unreadable_images_are_all_named(split, ucmerced):
    river, beach = (ucmerced / f'Images/{name}/{name}03.png' for name in ('river', 'beach'))
    river.write_bytes(river.read_bytes()[:60])
    beach.write_text('nothing')
    result = split('ucmerced', ucmerced)
    assert result.code == 2
    assert '2 images cannot be read; fetch them again' in result.err
    assert str(river) in result.err and str(beach) in result.err


def test_rasters(split, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    for label, level in (('field', 1000), ('water', 3000)):
        (tmp_path / label).mkdir()
        for index in range(5):
            settings = dict(driver='GTiff', count=5, height=4, width=6, dtype='uint16')
            settings.update(transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 4e6))
            with rasterio.open(tmp_path / label / f'{index}.tif', 'w', **settings) as raster:
                raster.write(np.full((5, 4, 6), level, np.uint16))
    result = split('folder', tmp_path, '--bands')
    assert result.code == 0, result.err
    assert '2 classes; of the training images, 5 bands' in result.out
    assert f'mean={[2000.0] * 5}' in result.out and f'std={[1000.0] * 5}' in result.out


def test_refusals(split, tmp_path):
    result = split('aid', tmp_path)
    assert result.code == 2 and 'no class folders in' in result.err
    assert 'split_scenes.py aid FOLDER' in result.err
    result = split('aid', tmp_path, '--train', 1)
    assert '--train is a share between 0 and 1, got 1.0' in result.err


@pytest.fixture
def leaking(tmp_path):
    """A folder of scenes whose test list has a copy, re-encoded and enlarged, of a training image."""
    pytest.importorskip('imagehash')
    for label in ('forest', 'harbor'):
        (tmp_path / label).mkdir()
        for index in range(4):
            image = render_scene(label, size=64, index=index).image
            cv2.imwrite(str(tmp_path / label / f'{index}.png'), image)
    copy = cv2.resize(cv2.imread(str(tmp_path / 'harbor/0.png')), (96, 96), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / 'harbor/copy.jpg'), copy, [cv2.IMWRITE_JPEG_QUALITY, 80])
    (tmp_path / 'train.txt').write_text('forest/0\nforest/1\nforest/2\nharbor/0\nharbor/1\nharbor/2\n')
    (tmp_path / 'val.txt').write_text('forest/3\nharbor/3\nharbor/copy\n')
    return tmp_path


def test_leaks_are_listed(split, leaking):
    lists = [(leaking / f'{name}.txt').read_text() for name in ('train', 'val')]
    table = leaking / 'found/leaks.csv'
    code, out, err = split('folder', leaking, '--check-leaks', '--leaks-csv', table)
    assert code == 1, err
    assert '1 of 3 test images (33.33 %) have a near duplicate' in out
    assert f'{leaking / "harbor/0.png"} (train), {leaking / "harbor/copy.jpg"} (test)' in out
    ((train, test, distance),) = list(csv.reader(table.open()))[1:]
    assert Path(train).name == '0.png' and Path(test).name == 'copy.jpg' and int(distance) <= 8
    # the lists stay as they are
    assert lists == [(leaking / f'{name}.txt').read_text() for name in ('train', 'val')]
    (leaking / 'val.txt').write_text('forest/3\nharbor/3\n')
    code, out, _ = split('folder', leaking, '--check-leaks')
    assert code == 0 and '0 pairs differ in at most 8 of 64 bits' in out


def test_leak_refusals(split, leaking):
    for options, message in (
        (('--check-leaks', '--threshold', 64), '--threshold is from 0 to 63 bits, got 64'),
        (('--leaks-csv', 'x.csv'), '--leaks-csv goes with --check-leaks'),
        (('--check-leaks', '--out', leaking / 'none'), 'annotation file not found'),
    ):
        code, _, err = split('folder', leaking, *options)
        assert code == 2 and message in err


def test_distances_of_all_pairs():
    pytest.importorskip('imagehash')
    rng = np.random.default_rng(0)
    first, second = rng.random((2500, 64)) < 0.5, rng.random((40, 64)) < 0.5
    second[7] = first[2100]
    second[7, :3] ^= True
    distances = (first[:, None] != second[None]).sum(-1)
    wanted = {(i, j, distances[i, j]) for i, j in zip(*np.nonzero(distances <= 12), strict=True)}
    assert set(near_duplicates(first, second, 12)) == wanted and (2100, 7, 3) in wanted


@pytest.mark.skipif(not SHARED.is_dir(), reason='needs the images in ../shared/data')
def test_leaks_of_ucmerced():
    """Two of its airplanes are one image, and one is in each list of the paper's split."""
    pytest.importorskip('imagehash')
    images = (Image.open(SHARED / f'Images/airplane/airplane{i:02d}.jpg') for i in (1, 2, 3))
    one, two, three = perceptual_hashes(images)
    assert (one == two).all() and (one != three).sum() > 8
