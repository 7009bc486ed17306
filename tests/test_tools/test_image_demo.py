"""tools/image_demo.py: what it writes of images that lie about, and what it refuses."""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rsmamba_mm.apis import ImagePredictor, add_inference_arguments, predict_images
from rsmamba_mm.datasets import SCENE_CLASSES, SCENE_MASK_CLASSES, SCENE_MASK_PALETTE, render_scene
from rsmamba_mm.errors import MissingDataError, OptionError

BANDS = """
_base_ = '{root}/configs/rsmamba/rsmamba-b_folder-4bands-224px.py'
arch = dict(embed_dims=16, num_layers=1, feedforward_channels=16)
model = dict(
    backbone=dict(_delete_=True, type='RSMamba', arch=arch, img_size=224, in_channels=4),
    head=dict(in_channels=16),
)
"""


def run(source, model, out, *options) -> list[str]:
    parser = argparse.ArgumentParser()
    add_inference_arguments(parser)
    call = (source, *model, '--out-dir', out, '--device', 'cpu', *options)
    return list(predict_images(parser.parse_args(list(map(str, call)))))


def png(path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture(scope='session')
def images(tmp_path_factory) -> Path:
    """Images of two sizes, two of them of one name."""
    folder = tmp_path_factory.mktemp('images')
    for name, kind, size in (
        ('a/x.png', 'forest', 64),
        ('b/x.jpg', 'lake', 64),
        ('b/y.tif', 'beach', (96, 64)),
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(render_scene(kind, size).image[..., ::-1]).save(path)
    return folder


def test_classes_and_scores(images, scenes, tmp_path):
    lines = run(images, scenes, tmp_path / 'out', '--batch-size', 2)
    rows = list(csv.DictReader((tmp_path / 'out/predictions.csv').open()))
    assert [Path(row['file']).relative_to(images).as_posix() for row in rows] == [
        'a/x.png',
        'b/x.jpg',
        'b/y.tif',
    ]
    assert len(lines) == 4 and lines[-1] == f'results: {tmp_path / "out"}'
    for row, line in zip(rows, lines, strict=False):
        scores = [float(row[key]) for key in ('score', *(f'score_{i}' for i in range(2, 6)))]
        assert scores == sorted(scores, reverse=True) and sum(scores) <= 1.001
        assert row['class'] in SCENE_CLASSES and line.startswith(f'{row["file"]}: {row["class"]} ')
        name = Path(row['file']).relative_to(images).with_suffix('.png')
        assert png(tmp_path / 'out/pictures' / name).shape[2] == 3
    # as the test pipeline sees the image
    (alone,) = ImagePredictor(*map(str, scenes), device='cpu').predict([images / 'b/x.jpg'])
    assert f'{alone.scores.max():.4f}' == rows[1]['score']


def test_maps_and_labels(images, land_cover, tmp_path):
    lines = run(images, land_cover, tmp_path / 'out', '--batch-size', 3)
    assert len(lines) == 4
    rows = list(csv.DictReader((tmp_path / 'out/classes.csv').open()))
    assert [row['class'] for row in rows] == list(SCENE_MASK_CLASSES)
    assert [[int(row[c]) for c in ('red', 'green', 'blue')] for row in rows] == SCENE_MASK_PALETTE
    for name, shape in (('a/x', (64, 64)), ('b/x', (64, 64)), ('b/y', (96, 64))):
        labels = png(tmp_path / f'out/labels/{name}.png')
        assert labels.shape == shape and labels.max() < 8
        assert (png(tmp_path / f'out/maps/{name}.png') == np.uint8(SCENE_MASK_PALETTE)[labels]).all()
        picture = png(tmp_path / f'out/pictures/{name}.png')
        assert picture.shape[1] == 2 * 256 + 8
    most = np.bincount(labels.ravel()).argmax()
    assert lines[2].startswith(f'{images / "b/y.tif"}: {SCENE_MASK_CLASSES[most]} ')
    # what was written into the folder is not taken for images
    assert len(run(images / 'b', land_cover, images / 'b/out')) == 3
    assert len(run(images / 'b', land_cover, images / 'b/out')) == 3


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
def test_bands_of_a_raster(root, trained, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    (tmp_path / 'configs').mkdir()
    config = tmp_path / 'configs/bands.py'
    config.write_text(BANDS.format(root=root))
    model = trained(config, dict(classes=['forest', 'field']))
    values = np.random.default_rng(0).integers(0, 4000, (4, 60, 50)).astype(np.uint16)
    with rasterio.open(
        tmp_path / 'scene.tif', 'w', driver='GTiff', count=4, height=60, width=50, dtype='uint16'
    ) as raster:
        raster.write(values)
    lines = run(tmp_path / 'scene.tif', model, tmp_path / 'out')
    assert len(lines) == 2 and lines[0].startswith(f'{tmp_path / "scene.tif"}: f')
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(tmp_path / 'colours.png')
    with pytest.raises(MissingDataError, match=r'colours\.png has 3 bands, but band 4 is asked for'):
        run(tmp_path / 'colours.png', model, tmp_path / 'out')


def test_broken_images_are_left_out(images, scenes, tmp_path):
    content = (images / 'b/x.jpg').read_bytes()
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/whole.jpg').write_bytes(content)
    (tmp_path / 'in/half.jpg').write_bytes(content[: len(content) // 2])
    with pytest.raises(MissingDataError, match=r'half\.jpg cannot be read as an 8-bit image \(.*truncated'):
        run(tmp_path / 'in/half.jpg', scenes, tmp_path / 'out')
    with pytest.raises(MissingDataError, match='1 of 2 images could not be read, and were left out'):
        run(tmp_path / 'in', scenes, tmp_path / 'out')
    (row,) = csv.DictReader((tmp_path / 'out/predictions.csv').open())
    assert row['file'].endswith('whole.jpg')


def test_what_is_not_there(images, scenes, land_cover, tmp_path):
    with pytest.raises(MissingDataError, match='no such image or folder: nowhere'):
        run('nowhere', scenes, tmp_path)
    with pytest.raises(MissingDataError, match=r'no images in .*: looked for \.jpg'):
        run(tmp_path, scenes, tmp_path)
    with pytest.raises(OptionError, match=r'checkpoint not found: nowhere\.pth'):
        run(images, (scenes.config, 'nowhere.pth'), tmp_path)
    with pytest.raises(OptionError, match=r'config not found: nowhere\.py'):
        run(images, ('nowhere.py', scenes.checkpoint), tmp_path)
    with pytest.raises(OptionError, match=r'scenes\.pth is of another model'):
        run(images, (land_cover.config, scenes.checkpoint), tmp_path)
    with pytest.raises(OptionError, match='--batch-size must be at least 1, got 0'):
        run(images, scenes, tmp_path, '--batch-size', 0)
    with pytest.raises(OptionError, match=r'--out-dir: .*x\.png is a file'):
        run(images, scenes, images / 'a/x.png')
    with pytest.raises(OptionError, match='--device cuda:99: not on this machine'):
        run(images, scenes, tmp_path, '--device', 'cuda:99')


@pytest.mark.parametrize('name', ['scenes', 'land_cover'])
def test_a_checkpoint_is_read_once(reads, name, request):
    model = request.getfixturevalue(name)
    ImagePredictor(*map(str, model), device='cpu')
    assert reads == [str(model.checkpoint)]


@pytest.mark.parametrize('name', ['scenes', 'land_cover'])
def test_checkpoint_without_classes(images, tmp_path, name, request):
    model = request.getfixturevalue(name)
    state = torch.load(model.checkpoint, weights_only=False)
    torch.save(dict(state_dict=state['state_dict']), tmp_path / 'bare.pth')
    bare = (model.config, tmp_path / 'bare.pth')
    if name == 'scenes':  # the data set's class has them
        assert ImagePredictor(*map(str, bare), device='cpu').classes == list(SCENE_CLASSES)
        return
    with pytest.raises(OptionError, match=r'bare\.pth does not name its 8 classes, nor does .*Name them'):
        run(images, bare, tmp_path)
    names = ','.join('abcdefgh')
    option = ('--cfg-options', f'test_dataloader.dataset.metainfo.classes="[{names}]"')
    lines = run(images / 'a', bare, tmp_path / 'out', *option)
    assert lines[0].split(': ')[1][0] in names


@pytest.mark.slow
@pytest.mark.smoke
def test_command_line(root, images, scenes, tmp_path):
    def call(*args):
        command = [sys.executable, root / 'tools/image_demo.py', *args, '--out-dir', tmp_path]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=root)

    result = call(images / 'a', *scenes)
    assert result.returncode == 0, result.stderr
    assert f'{images / "a/x.png"}: ' in result.stdout and (tmp_path / 'pictures/x.png').is_file()
