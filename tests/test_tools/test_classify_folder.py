"""tools/classify_folder.py: tables and maps of many scenes, and what it says of those it cannot read."""

import csv
import json
import zipfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsmamba_mm.apis import ImagePredictor, classify_folder, folders
from rsmamba_mm.apis.places import locate
from rsmamba_mm.datasets import SCENE_CLASSES, render_scene
from rsmamba_mm.errors import MissingDataError, OptionError

BANDS = """
_base_ = '{root}/configs/rsmamba/rsmamba-b_folder-4bands-224px.py'
arch = dict(embed_dims=16, num_layers=1, feedforward_channels=16)
model = dict(
    backbone=dict(_delete_=True, type='RSMamba', arch=arch, img_size=224, in_channels=4),
    head=dict(in_channels=16),
)
"""


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    """Seven images in two folders, of two sizes."""
    folder = tmp_path_factory.mktemp('images')
    for index, kind in enumerate(SCENE_CLASSES[:7]):
        path = folder / 'ab'[index % 2] / f'{kind}.{"png" if index < 5 else "jpg"}'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(render_scene(kind, 64 if index < 4 else (96, 64)).image).save(path)
    return folder


@pytest.fixture
def tool(call, scenes):
    return partial(call, 'classify_folder.py', *scenes, '--device', 'cpu', '--out')


@pytest.fixture(scope='module')
def predictor(scenes) -> ImagePredictor:
    return ImagePredictor(*map(str, scenes), device='cpu')


def table(path) -> list[dict]:
    return list(csv.DictReader(path.open(encoding='utf-8')))


def raster(path, epsg, transform, count=3) -> None:
    rasterio = pytest.importorskip('rasterio')
    settings = dict(driver='GTiff', count=count, width=64, height=48, dtype='uint8')
    if epsg:
        settings.update(crs=f'EPSG:{epsg}', transform=rasterio.Affine(*transform))
    pixels = render_scene('lake', (48, 64)).image.transpose(2, 0, 1)
    with rasterio.open(path, 'w', **settings) as file:
        file.write(np.resize(pixels, (count, 48, 64)))


def test_a_folder_a_list_and_a_zip_give_the_same(tool, predictor, images, tmp_path):
    code, out, err = tool(tmp_path / 'out/a.csv', images, '--batch-size', 3)
    assert code == 0 and out.endswith(f'{tmp_path / "out/a.csv"}: 7 images\n'), err
    rows = table(tmp_path / 'out/a.csv')
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob('*.*'))
    assert [row['file'] for row in rows] == [str(images / name) for name in names]
    scores = [[float(row[key]) for key in ('score', *(f'score_{i}' for i in range(2, 6)))] for row in rows]
    assert scores == [sorted(row, reverse=True) for row in scores] and 0 < sum(scores[0]) <= 1.001
    (alone,) = predictor.predict([rows[3]['file']])
    assert rows[3]['class'] == SCENE_CLASSES[alone.scores.argmax()]
    assert not (tmp_path / 'out/a.geojson').exists()
    (images / 'list.txt').write_text('\n'.join([*names[:6], '', str(images / names[6])]))
    with zipfile.ZipFile(tmp_path / 'some.zip', 'w') as file:
        for name in names:
            file.write(images / name, name)
        file.writestr('a/._x.png', 'of a Mac')
        file.writestr('readme.txt', 'no image')
    for source, first in ((images / 'list.txt', names[0]), (tmp_path / 'some.zip', names[0])):
        done = classify_folder(predictor, source, tmp_path / 'b.csv', batch_size=4, topk=2)
        assert (done.classified, done.map, done.unreadable) == (7, None, {})
        others = table(tmp_path / 'b.csv')
        assert list(others[0]) == ['file', 'class', 'score', 'class_2', 'score_2']
        assert others[0]['file'] == first
        # another batch may change a last digit
        assert [row['class'] for row in others] == [row['class'] for row in rows]
        gap = [float(a['score']) - float(b['score']) for a, b in zip(rows, others, strict=True)]
        assert np.abs(gap).max() < 1e-3
    (images / 'list.txt').unlink()


def test_unreadable_images_are_left_out_named_and_counted(tool, predictor, images, tmp_path):
    content = next(images.rglob('*.png')).read_bytes()
    (tmp_path / 'in').mkdir()
    for name, data in (('whole', content), ('half', content[: len(content) // 2]), ('none', b'')):
        (tmp_path / f'in/{name}.png').write_bytes(data)
    code, out, err = tool(tmp_path / 'x.csv', tmp_path / 'in')
    assert code == 1 and '2 of 3 images could not be read, and were left out' in err
    assert 'left out: ' in out and 'half.png cannot be read as an 8-bit image' in out
    assert [Path(row['file']).name for row in table(tmp_path / 'x.csv')] == ['whole.png']
    (tmp_path / 'in/list.lst').write_text('whole.png\ngone.png\n')
    with zipfile.ZipFile(tmp_path / 'some.zip', 'w') as file:
        file.writestr('good.png', content)
        file.writestr('damaged.png', content)
    damaged = (tmp_path / 'some.zip').read_bytes()
    place = damaged.rindex(content) + len(content) // 2
    (tmp_path / 'some.zip').write_bytes(damaged[:place] + b'\0\0\0\0' + damaged[place + 4 :])
    for source, name in ((tmp_path / 'in/list.lst', 'gone.png'), (tmp_path / 'some.zip', 'damaged.png')):
        done = classify_folder(predictor, source, tmp_path / 'x.csv')
        assert done.classified == 1 and list(done.unreadable) == [name]


@pytest.mark.filterwarnings('ignore:Dataset has no geotransform')
def test_map_of_rasters_and_photos(tool, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    raster(folder / 'utm.tif', 32640, (2.0, 0, 325_000, 0, -2.0, 2_780_000))
    raster(folder / 'no_crs.tif', None, None)
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: 'S', 2: (33.0, 51.0, 36.0), 3: 'E', 4: (151.0, 12.0, 0.0)})
    image = Image.fromarray(render_scene('beach', 64).image)
    image.save(folder / 'photo.jpg', exif=exif)
    image.save(folder / 'plain.jpg')
    code, out, err = tool(tmp_path / 'x.csv', folder)
    assert code == 0 and f'{tmp_path / "x.geojson"}: 2 of them with coordinates' in out, err
    found = json.loads((tmp_path / 'x.geojson').read_text())
    photo, outline = found['features']
    assert photo['geometry'] == dict(type='Point', coordinates=[151.2, -33.86])
    rows = {Path(row['file']).name: row for row in table(tmp_path / 'x.csv')}
    assert len(rows) == 4 and outline['properties']['class'] == rows['utm.tif']['class']
    assert outline['properties']['score'] == float(rows['utm.tif']['score'])
    from rasterio.warp import transform

    ((*ring,),) = outline['geometry']['coordinates']
    xs, ys = transform('EPSG:4326', 'EPSG:32640', *zip(*ring, strict=True))
    corners = [(325_000, 2_780_000), (325_000, 2_779_904), (325_128, 2_779_904), (325_128, 2_780_000)]
    assert np.allclose([*zip(xs, ys, strict=True)], [*corners, corners[0]], atol=0.02)
    # again from a zip, and with nothing to map the old map goes
    with zipfile.ZipFile(tmp_path / 'some.zip', 'w') as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f'deep/er/{path.name}')
    code, out, err = tool(tmp_path / 'x.csv', tmp_path / 'some.zip')
    assert code == 0, err
    again = json.loads((tmp_path / 'x.geojson').read_text())
    assert [f['geometry'] for f in again['features']] == [f['geometry'] for f in found['features']]
    tool(tmp_path / 'x.csv', folder / 'plain.jpg')
    assert not (tmp_path / 'x.geojson').exists()


def test_outlines(tmp_path):
    """Anticlockwise whichever way the raster lies, in two parts across the antimeridian."""
    for name, epsg, transform in (
        ('south_up', 4326, (0.5, 0, 10, 0, 0.5, 10)),
        ('rotated', 32633, (2.0, 1.0, 500_000, 1.0, -2.0, 5_000_000)),
    ):
        raster(tmp_path / f'{name}.tif', epsg, transform)
        geometry = locate(str(tmp_path / f'{name}.tif'))
        ((*ring,),) = geometry['coordinates']
        assert geometry['type'] == 'Polygon' and len(ring) == 5 and ring[0] == ring[-1]
        assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) > 0
    raster(tmp_path / 'pacific.tif', 32660, (2000.0, 0, 780_000, 0, -2000.0, 200_000))
    geometry = locate(str(tmp_path / 'pacific.tif'))
    assert geometry['type'] == 'MultiPolygon' and len(geometry['coordinates']) == 2
    (tmp_path / 'broken.tif').write_bytes(b'II*\0')
    assert locate(str(tmp_path / 'broken.tif')) is None
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: 'N', 2: (95.0, 0.0, 0.0), 3: 'E', 4: (1.0, 0.0, 0.0)})
    Image.new('RGB', (8, 8)).save(tmp_path / 'wrong.jpg', exif=exif)
    assert locate(str(tmp_path / 'wrong.jpg')) is None


def test_without_rasterio_it_says_so(predictor, tmp_path, monkeypatch):
    Image.fromarray(render_scene('beach', 64).image).save(tmp_path / 'x.tif')
    monkeypatch.setattr(folders, 'find_spec', lambda _: None)
    lines = []
    done = classify_folder(predictor, tmp_path, tmp_path / 'x.csv', report=lines.append)
    assert done.classified == 1 and 'pip install "rsmamba_mm[geo]"' in lines[0]


def test_refusals(tool, predictor, land_cover, images, tmp_path):
    for options, message in (
        (('x.txt', images), '--out: the table is a .csv file, got x.txt'),
        ((tmp_path / 'x.csv', 'nowhere'), 'no such image or folder: nowhere'),
        ((tmp_path / 'x.csv', images, '--batch-size', 0), '--batch-size must be at least 1, got 0'),
        ((tmp_path / 'x.csv', images, '--topk', 0), '--topk must be at least 1, got 0'),
    ):
        code, _, err = tool(*options)
        assert code == 2 and message in err
    (tmp_path / 'no.zip').write_bytes(b'PK')
    (tmp_path / 'empty.txt').write_text('\n')
    (tmp_path / 'binary.lst').write_bytes(b'\xff\xfe\xfa')
    for name, kind, message in (
        ('no.zip', MissingDataError, 'cannot be read as a zip file'),
        ('empty.txt', MissingDataError, 'no images in .*empty'),
        ('binary.lst', OptionError, 'is no list of images'),
    ):
        with pytest.raises(kind, match=message):
            classify_folder(predictor, tmp_path / name, tmp_path / 'x.csv')
    segmenter = ImagePredictor(*map(str, land_cover), device='cpu')
    with pytest.raises(OptionError, match='the model maps land cover'):
        classify_folder(segmenter, images, tmp_path / 'x.csv')
    assert not (tmp_path / 'x.csv').exists()


def test_bands_of_rasters_in_a_zip(root, trained, tmp_path):
    """Rasters of many bands, and names that are no plain words."""
    config = tmp_path / 'bands.py'
    config.write_text(BANDS.format(root=root))
    model = trained(config, dict(classes=['forest', 'field']))
    folder = tmp_path / 'a folder #1 é'
    folder.mkdir()
    raster(folder / 'scene é 1#.tif', 32640, (2.0, 0, 325_000, 0, -2.0, 2_780_000), count=4)
    with zipfile.ZipFile(folder / 'Some 100%.ZIP', 'w') as file:
        file.write(folder / 'scene é 1#.tif', 'in a/scene é 1#.tif')
    predictor = ImagePredictor(*map(str, model), device='cpu')
    for source in (folder, folder / 'Some 100%.ZIP'):
        done = classify_folder(predictor, source, tmp_path / 'x.csv')
        assert (done.classified, done.located, done.unreadable) == (1, 1, {})
