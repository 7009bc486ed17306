from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from rsmamba_mm.datasets import LoadGeoImage, LoadSceneImage, RandomBandGain, RandomTranspose

BANDS = np.random.default_rng(0).integers(0, 10_000, (4, 12, 20), np.uint16)


def geotiff(path: Path, bands=BANDS, **profile) -> str:
    rasterio = pytest.importorskip('rasterio')
    count, height, width = bands.shape
    settings = dict(driver='GTiff', count=count, height=height, width=width, dtype=bands.dtype)
    settings.update(transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 4e6))
    with rasterio.open(path, 'w', **settings, **profile) as raster:
        raster.write(bands)
    return str(path)


def test_scene_image_is_what_mmcv_loads(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    results = LoadSceneImage().transform(dict(img_path=str(tmp_path / 'a.png')))
    np.testing.assert_array_equal(results['img'], image)
    assert results['img_shape'] == results['ori_shape'] == (9, 7)


def test_truncated_and_missing_images_are_named(tmp_path):
    whole = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[1]
    (tmp_path / 'cut.jpg').write_bytes(whole.tobytes()[: len(whole) // 2])
    with pytest.raises(OSError, match=r'cut\.jpg cannot be read .*truncated.*Fetch it again'):
        LoadSceneImage()(dict(img_path=str(tmp_path / 'cut.jpg')))
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(OSError, match=r'text\.png cannot be read .*split_scenes\.py names all'):
        LoadSceneImage()(dict(img_path=str(tmp_path / 'text.png')))
    with pytest.raises(FileNotFoundError, match=r'none\.png'):
        LoadSceneImage()(dict(img_path=str(tmp_path / 'none.png')))


def test_bands_of_a_raster(tmp_path):
    path = geotiff(tmp_path / 'a.tif')
    image = LoadGeoImage()(dict(img_path=path))['img']
    assert image.dtype == np.float32 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, BANDS.transpose(1, 2, 0))
    chosen = LoadGeoImage(bands=[4, 1])(dict(img_path=path))
    np.testing.assert_array_equal(chosen['img'], BANDS[[3, 0]].transpose(1, 2, 0))
    assert chosen['img_shape'] == (12, 20)


def test_pixels_without_data_are_filled(tmp_path):
    bands = BANDS[:2].astype(np.float32)
    bands[0, 0, 0], bands[1, 2, 3] = np.nan, -9999
    path = geotiff(tmp_path / 'a.tif', bands, nodata=-9999)
    image = LoadGeoImage(fill=-1)(dict(img_path=path))['img']
    assert image[0, 0, 0] == image[2, 3, 1] == -1
    assert np.isfinite(image).all() and (image == -1).sum() == 2


def test_raster_refusals(tmp_path):
    path = geotiff(tmp_path / 'three.tif', BANDS[:3])
    with pytest.raises(ValueError, match=r'three\.tif has 3 bands, but band 4 is asked for'):
        LoadGeoImage(bands=[1, 4])(dict(img_path=path))
    with pytest.raises(ValueError, match=r'bands are numbers from 1.* got \[0, 1\]'):
        LoadGeoImage(bands=[0, 1])
    (tmp_path / 'broken.tif').write_bytes(Path(path).read_bytes()[:100])
    with pytest.raises(OSError, match=r'broken\.tif cannot be read as a raster'):
        LoadGeoImage()(dict(img_path=str(tmp_path / 'broken.tif')))


def test_without_rasterio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'rasterio', None)
    with pytest.raises(ImportError, match=r'pip install "rsmamba_mm\[geo\]"'):
        LoadGeoImage()


def test_gains():
    np.random.seed(0)
    image = np.full((5, 6, 4), 1000, np.float32)
    gained = np.stack([RandomBandGain(0.2, 0.1)(dict(img=image))['img'] for _ in range(2000)])
    assert gained.shape == (2000, 5, 6, 4) and gained.dtype == np.float32
    logarithms = np.log(gained[:, 0, 0] / 1000)
    assert abs(logarithms.mean()) < 0.02  # as often brighter as darker
    assert abs(logarithms.std() - np.hypot(0.2, 0.1)) < 0.02
    own = logarithms - logarithms.mean(1, keepdims=True)
    assert abs(own.std() - 0.1 * np.sqrt(3 / 4)) < 0.01
    np.testing.assert_array_equal(gained[0, 0, 0], gained[0, 4, 5])  # one gain for all pixels of a band


def test_gain_keeps_the_type_and_its_range():
    np.random.seed(0)
    image = np.full((2, 2, 3), 250, np.uint8)
    gained = [RandomBandGain(1, 0)(dict(img=image))['img'] for _ in range(20)]
    assert all(g.dtype == np.uint8 for g in gained) and max(g.max() for g in gained) == 255
    assert RandomBandGain(1, 1, prob=0)(dict(img=image))['img'] is image
    with pytest.raises(ValueError, match=r'prob is in \[0, 1\], got .*prob=2'):
        RandomBandGain(prob=2)


def test_rows_and_columns_are_exchanged_with_the_labels():
    results = dict(img=np.arange(24).reshape(2, 4, 3), gt_seg_map=np.arange(8).reshape(2, 4))
    turned = RandomTranspose(1)(dict(results))
    assert turned['img_shape'] == (4, 2)
    np.testing.assert_array_equal(turned['img'][3, 1], results['img'][1, 3])
    np.testing.assert_array_equal(turned['gt_seg_map'], results['gt_seg_map'].T)
    assert RandomTranspose(0)(dict(results))['img'] is results['img']
    with pytest.raises(ValueError, match=r'RandomTranspose: prob is in \[0, 1\], got -1'):
        RandomTranspose(-1)


@pytest.mark.parametrize('name', ['LoadSceneImage', 'LoadGeoImage', 'RandomBandGain'])
def test_built_by_name_from_any_scope(name):
    pytest.importorskip('rasterio')
    assert type(TRANSFORMS.build(dict(type=f'rsmamba_mm.{name}'))).__name__ == name
