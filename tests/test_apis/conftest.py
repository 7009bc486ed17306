"""Small models and rasters to map."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

SCENES = """
_base_ = '{root}/configs/rsmamba/rsmamba-t_synthetic-128px.py'
"""
LAND_COVER = """
_base_ = '{root}/configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py'
model = dict(
    type='SmoothEncoderDecoder',
    test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(48, 48)),
    backbone=dict(_delete_=True, type='ResT', arch=dict(
        embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1)
    )),
    neck=dict(in_channels=(8, 16, 32, 64)),
    decode_head=dict(in_channels=8),
    auxiliary_head=dict(in_channels=(32, 16, 8)),
)
"""
BINARY = """
model = dict(
    decode_head=dict(
        num_classes=2, out_channels=1, threshold=0.4,
        loss_decode=dict(_delete_=True, type='mmseg.CrossEntropyLoss', use_sigmoid=True),
    ),
    auxiliary_head=None,
)
"""


def _build(config: Path, **meta) -> tuple[str, str]:
    """Config and checkpoint of a model of random weights, saved like a trained one."""
    cfg = Config.fromfile(config)
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        meta = meta or DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[])).metainfo
    for name, parameter in model.named_parameters():
        if 'conv_seg' in name or 'head.fc' in name:
            parameter.data *= 3  # of chance alone few classes are seen
    checkpoint = config.with_suffix('.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), checkpoint)
    return str(config), str(checkpoint)


@pytest.fixture(scope='session')
def land_cover_files(root, tmp_path_factory) -> tuple[str, str]:
    """Config and checkpoint of a segmenter."""
    pytest.importorskip('mmseg')
    config = tmp_path_factory.mktemp('segmenter') / 'land_cover.py'
    config.write_text(LAND_COVER.format(root=root))
    return _build(config)


@pytest.fixture(scope='session')
def binary_files(root, tmp_path_factory) -> tuple[str, str]:
    """Config and checkpoint of a segmenter that tells two classes apart by a threshold."""
    pytest.importorskip('mmseg')
    config = tmp_path_factory.mktemp('binary') / 'water.py'
    land_cover = config.with_name('land_cover.py')
    land_cover.write_text(LAND_COVER.format(root=root))
    config.write_text(f"_base_ = '{land_cover}'{BINARY}")
    return _build(config, classes=('land', 'water'), palette=[[120, 90, 60], [0, 0, 255]])


@pytest.fixture(scope='session')
def scene_files(root, tmp_path_factory) -> tuple[str, str]:
    """Config and checkpoint of a classifier."""
    config = tmp_path_factory.mktemp('classifier') / 'scenes.py'
    config.write_text(SCENES.format(root=root))
    return _build(config)


@pytest.fixture(scope='session')
def segmenter(land_cover_files):
    """A segmenter of 64 px windows, one every 48 px."""
    from rsmamba_mm.apis import LandCoverSegmenter

    return LandCoverSegmenter(*land_cover_files, device='cpu')


@pytest.fixture(scope='session')
def classifier(scene_files):
    """A classifier of scenes."""
    from rsmamba_mm.apis import SceneClassifier

    return SceneClassifier(*scene_files, device='cpu')


@pytest.fixture(scope='session')
def picture() -> np.ndarray:
    """Synthetic scenes side by side, ``(3, 150, 200)`` uint8, red first."""
    from rsmamba_mm.datasets import render_scene

    rows = [
        np.concatenate([render_scene(kind, size=100, index=i).image for i in range(2)], axis=1)
        for kind in ('forest', 'harbor')
    ]
    return np.ascontiguousarray(np.concatenate(rows)[:150, :, ::-1].transpose(2, 0, 1))


@pytest.fixture
def write_raster(tmp_path) -> Callable[..., Path]:
    """Write ``(bands, H, W)`` as a GeoTIFF: in UTM 40N with pixels of 0.5 m if nothing else is said."""
    rasterio = pytest.importorskip('rasterio')

    def write(bands: np.ndarray, name: str = 'raster.tif', **profile) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        settings = dict(driver='GTiff', dtype=bands.dtype, crs='EPSG:32640')
        settings.update(zip(('count', 'height', 'width'), bands.shape, strict=True))
        settings['transform'] = rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6)
        settings.update(profile)
        settings = {key: value for key, value in settings.items() if value is not None}
        with rasterio.open(path, 'w', **settings) as raster:
            raster.write(bands)
        return path

    return write
