"""Leave here what ``make demo`` leaves, from models that learnt nothing; and a folder of images."""

from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import cv2
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from rsmamba_mm.datasets import render_landscape, render_scene

CONFIGS = Path(__file__).parents[2] / 'configs'
DEMO = Path('work_dirs/demo')


def leave_model(task: str, config: str) -> None:
    cfg = Config.fromfile(CONFIGS / config)
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        weights = MODELS.build(cfg.model).state_dict()
        dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, num_images=6, pipeline=[]))
    (DEMO / task).mkdir(parents=True)
    checkpoint = dict(state_dict=weights, meta=dict(dataset_meta=dataset.metainfo))
    torch.save(checkpoint, DEMO / task / 'best_epoch_1.pth')


def leave_raster(resolution: float = 0.8) -> None:
    image, truth = render_landscape(64, resolution)
    height, width = truth.shape
    (DEMO / 'raster').mkdir()
    with rasterio.open(
        DEMO / 'raster' / 'scene.tif',
        'w',
        driver='GTiff',
        width=width,
        height=height,
        count=3,
        dtype='uint8',
        crs='EPSG:32631',
        transform=rasterio.Affine(resolution, 0, 500_000, 0, -resolution, 5_000_000),
    ) as file:
        file.write(image[..., ::-1].transpose(2, 0, 1))


def leave_images(folder: Path) -> None:
    for name in ('beach', 'forest', 'river'):
        (folder / name).mkdir(parents=True)
        for index in range(8):
            cv2.imwrite(str(folder / name / f'{index}.png'), render_scene(name, index=index).image)


if __name__ == '__main__':
    leave_model('classification', 'rsmamba/rsmamba-t_synthetic-128px.py')
    leave_model('segmentation', 'unetmamba/unetmamba_tiny_synthetic-128x128.py')
    leave_raster()
    leave_images(Path('my_images'))
    cv2.imwrite('image.jpg', render_scene('river', seed=7).image)
