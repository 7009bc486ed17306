import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmseg.datasets')
from mmseg.datasets import ISPRSDataset

rasterio = pytest.importorskip('rasterio')


@pytest.fixture
def convert(root, monkeypatch, capsys):
    """The tool, as a function of its options: the exit status and what it said."""

    def call(*args):
        tool = root / 'tools/dataset_converters/isprs_tiles.py'
        monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, args)])
        status = 0
        try:
            runpy.run_path(str(tool), run_name='__main__')
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, ' '.join((out + err).split())

    return call


def raster(path: Path, bands: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, 'w', driver='GTiff', count=3, height=bands.shape[0], width=bands.shape[1], dtype='uint8'
    ) as file:
        file.write(bands.transpose(2, 0, 1))


@pytest.fixture
def tiles(tmp_path):
    """Five tiles of 100 × 70; a car in one corner; eroded masks black along one column."""
    palette = np.array(ISPRSDataset.METAINFO['palette'], np.uint8)
    generator = np.random.default_rng(0)
    for index in range(5):
        name = f'top_mosaic_09cm_area{index}'
        labels = generator.integers(0, 4, (100, 70))
        labels[:20, :20] = 4
        colours = palette[labels]
        colours[50:, :, 0] = np.where(colours[50:, :, 0] == 255, 252, 3)  # off by a few levels
        raster(tmp_path / 'top' / f'{name}.tif', generator.integers(1, 256, (100, 70, 3), np.uint8))
        raster(tmp_path / 'gts' / f'{name}.tif', colours)
        eroded = colours.copy()
        eroded[:, 30] = 0
        raster(tmp_path / 'eroded' / f'{name}_noBoundary.tif', eroded)
    return tmp_path


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_tiles_become_patches_that_mmseg_reads(convert, tiles):
    out = tiles / 'out'
    options = ['--eroded', tiles / 'eroded', '--out', out, '--parts', 2, 1, 2, '--patch', 64]
    status, said = convert(tiles / 'top', tiles / 'gts', *options, '--rich', 'car', 0.1)
    assert status == 0, said
    split = dict(line.split(': ') for line in (out / 'split.txt').read_text().splitlines())
    assert [len(names.split()) for names in split.values()] == [2, 1, 2]
    assert len({name for names in split.values() for name in names.split()}) == 5
    assert '4 val patches of 1 tiles' in said

    # stride 64 in the test, padded at the right and lower edge
    name = split['test'].split()[0]
    patches = {path.stem.removeprefix(name): read(path) for path in (out / 'ann_dir/test').glob(f'{name}*')}
    assert set(patches) == {'_0_0', '_0_64', '_64_0', '_64_64'}
    assert all(patch.shape == (64, 64) for patch in patches.values())
    corner = patches['_64_64']
    assert (corner[36:] == 0).all() and (corner[:, 6:] == 0).all() and (corner[:36, :6] > 0).all()
    assert (patches['_0_0'][:20, :20] == 5).all()
    assert (patches['_0_0'][:, 30] == 0).all() and (patches['_0_0'][:, 29] > 0).all()
    image = read(out / 'img_dir/test' / f'{name}_64_64.png')
    assert (image[36:] == 0).all() and (image[:36, :6] > 0).all()

    # half a patch apart in training, borders not eroded, and small windows with many cars
    name = split['train'].split()[0]
    stems = {path.stem.removeprefix(name) for path in (out / 'img_dir/train').glob(f'{name}*')}
    assert {'_0_0', '_32_0', '_0_32', '_32_32', '_0_0_rich'} <= stems
    assert (read(out / 'ann_dir/train' / f'{name}_0_0.png')[:, 30] > 0).all()
    assert read(out / 'img_dir/train' / f'{name}_0_0_rich.png').shape == (32, 32, 3)

    dataset = ISPRSDataset(
        data_root=str(out),
        data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'),
        pipeline=[dict(type='mmseg.LoadAnnotations')],
    )
    assert len(dataset) == 8
    assert set(np.unique(dataset[0]['gt_seg_map'])) == {0, 1, 2, 3, 4, 255}


def test_a_seed_is_a_split(convert, tiles):
    splits = []
    for seed in (0, 0, 1):
        out = tiles / f'out{seed}'
        options = ['--out', out, '--parts', 3, 1, 1, '--patch', 64, '--seed', seed]
        assert convert(tiles / 'top', tiles / 'gts', *options)[0] == 0
        splits.append((out / 'split.txt').read_text())
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--parts', '22', '2', '9'], '--parts 22 2 9: .*top has 5 tiles with masks'),
        (['--patch', '16'], '--patch must be at least 32'),
        (['--rich', 'boat', '0.1'], "--rich: no class 'boat'; known are impervious_surface, .*car"),
        (['--rich', 'car', 'much'], '--rich: the share is from 0 to 1, got much'),
    ],
)
def test_refusals(convert, tiles, options, message):
    status, said = convert(tiles / 'top', tiles / 'gts', '--out', tiles / 'out', *options)
    assert status == 2 and re.search(message, said), said


def test_what_is_missing(convert, tiles):
    status, said = convert(tiles / 'none', tiles / 'gts', '--out', tiles / 'out')
    assert status == 2 and 'no such folder' in said
    (tiles / 'empty').mkdir()
    status, said = convert(tiles / 'top', tiles / 'empty', '--out', tiles / 'out')
    assert 'has a mask of its name' in said and 'top_potsdam_2_10_label.tif' in said
