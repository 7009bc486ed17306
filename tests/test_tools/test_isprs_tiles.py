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


@pytest.fixture
def street(tmp_path):
    """A tile of 128 × 128 of its rows, columns and 7; stripes of cars in the left half, 1/4 of it."""
    rows, columns = np.indices((128, 128))
    labels = np.where((rows % 4 == 0) & (columns < 64), 4, rows % 3)
    pixels = np.stack([rows, columns, np.full_like(rows, 7)], -1).astype(np.uint8)
    raster(tmp_path / 'top' / 'area1.tif', pixels)
    raster(tmp_path / 'gts' / 'area1.tif', np.array(ISPRSDataset.METAINFO['palette'], np.uint8)[labels])
    return tmp_path


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def patches_of(out: Path, part: str = 'train') -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image and labels of each patch, by its name."""
    masks = {path.stem: path for path in (out / 'ann_dir' / part).iterdir()}
    images = {path.stem: path for path in (out / 'img_dir' / part).iterdir()}
    assert set(masks) == set(images)
    return {name: (read(images[name]), read(masks[name])) for name in masks}


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


def test_flipped_copies(convert, tiles):
    out = tiles / 'out'
    options = ['--out', out, '--parts', 2, 1, 2, '--patch', 64, '--train-stride', 64, '--flips']
    status, said = convert(tiles / 'top', tiles / 'gts', *options)
    assert status == 0 and '24 train patches of 2 tiles, 4 val patches of 1 tiles' in said, said
    patches = patches_of(out)
    plain = {name for name in patches if not name.endswith('flip')}
    assert len(plain) == 8
    assert set(patches) == {name + end for name in plain for end in ('', '_hflip', '_vflip')}
    for name in plain:
        for array, across, down in zip(
            patches[name], patches[f'{name}_hflip'], patches[f'{name}_vflip'], strict=True
        ):
            np.testing.assert_array_equal(across, array[:, ::-1])
            np.testing.assert_array_equal(down, array[::-1])
    name = next(name for name in plain if name.endswith('_64_64'))
    for array in patches[f'{name}_hflip']:  # the padding moved along
        assert (array[36:] == 0).all() and (array[:, :-6] == 0).all() and (array[:36, -6:] > 0).all()
    assert not [name for part in ('val', 'test') for name in patches_of(out, part) if 'flip' in name]


@pytest.mark.parametrize('flips', [[], ['--flips']])
def test_zooms_replace_patches(convert, street, flips):
    options = ['--parts', 1, 0, 0, '--patch', 64, '--train-stride', 64, '--zoom', 'car', 0.1, *flips]
    assert convert(street / 'top', street / 'gts', '--out', street / 'whole', *options[:8])[0] == 0
    whole = patches_of(street / 'whole')
    sides, starts = set(), set()
    for seed in range(6):
        out = street / f'out{seed}'
        assert convert(street / 'top', street / 'gts', '--out', out, *options, '--seed', seed)[0] == 0
        patches = patches_of(out)
        zooms = {f'area1_{place}_zoom' for place in ('0_0', '64_0')}
        kept = {f'area1_{place}' for place in ('0_64', '64_64')}
        ends = ['', '_hflip', '_vflip'] if flips else ['']
        assert set(patches) == {
            *(name + end for name in zooms for end in ('', '_hflip', '_vflip', '_turn')),
            *(name + end for name in kept for end in ends),
        }
        for name in kept:
            assert all(map(np.array_equal, patches[name], whole[name]))
        for name in zooms:
            image, labels = patches[name]
            assert image.shape == (64, 64, 3) and (image[..., 2] == 7).all()
            # the first and last pixel of each side lie within the outermost ones of the window
            (top, left), (bottom, right) = image[0, 0, :2].astype(int), image[-1, -1, :2].astype(int)
            side = bottom + 1 - top
            assert 24 <= side <= 32 and right + 1 - left == side
            assert top // 64 * 64 == int(name.split('_')[1]) and bottom // 64 == top // 64 and right < 64
            ramp = np.clip((np.arange(64) + 0.5) * side / 64 - 0.5, 0, side - 1)
            assert np.abs(image[..., 0] - (top + ramp[:, None])).max() <= 0.51
            nearest = ((np.arange(64) + 0.5) * side / 64).astype(int)
            tile = whole[name.removesuffix('_zoom')][1]
            np.testing.assert_array_equal(labels, tile[np.ix_(top % 64 + nearest, left + nearest)])
            assert (labels == 5).mean() > 0.1
            for copy, turn in (('hflip', np.fliplr), ('vflip', np.flipud), ('turn', np.rot90)):
                for array, copied in zip(patches[name], patches[f'{name}_{copy}'], strict=True):
                    np.testing.assert_array_equal(copied, turn(array))
            sides.add(side)
            starts.add((top % 64, left))
    assert len(sides) > 3 and len(starts) > 8


def test_zooms_by_share_and_seed(convert, street):
    found = []
    for index, (seed, share) in enumerate([(0, 0.1), (0, 0.1), (1, 0.1), (0, 0.3)]):
        out = street / f'out{index}'
        options = ['--parts', 1, 0, 0, '--patch', 64, '--train-stride', 64, '--zoom', 'car', share]
        assert convert(street / 'top', street / 'gts', '--out', out, '--seed', seed, *options)[0] == 0
        found.append(patches_of(out))
    assert np.array_equal(found[0]['area1_0_0_zoom'][0], found[1]['area1_0_0_zoom'][0])
    assert not np.array_equal(found[0]['area1_0_0_zoom'][0], found[2]['area1_0_0_zoom'][0])
    assert set(found[3]) == {f'area1_{place}' for place in ('0_0', '0_64', '64_0', '64_64')}


def test_zooms_of_padded_patches(convert, tiles):
    options = ['--parts', 5, 0, 0, '--patch', 64, '--train-stride', 64, '--flips', '--zoom', 'car', 0.1]
    assert convert(tiles / 'top', tiles / 'gts', '--out', tiles / 'out', *options)[0] == 0
    zooms = low = 0
    for name, (image, labels) in patches_of(tiles / 'out').items():
        assert image.shape == (64, 64, 3) and labels.shape == (64, 64)
        assert (labels[(image == 0).all(-1)] == 0).all()
        if 'zoom' in name:
            zooms += 1
            assert (labels == 5).mean() > 0.1
        else:
            low += 1
    assert zooms % 4 == 0 and zooms and low % 3 == 0 and zooms // 4 + low // 3 == 20


def test_eroded_masks_must_be_whole(convert, tiles):
    paths = [tiles / 'top', tiles / 'gts', '--eroded', tiles / 'eroded', '--parts', 2, 1, 2, '--patch', 64]
    assert convert(*paths, '--out', tiles / 'out')[0] == 0
    split = dict(line.split(': ') for line in (tiles / 'out/split.txt').read_text().splitlines())
    mask = '{}_noBoundary.tif'.format
    for name in split['train'].split():
        (tiles / 'eroded' / mask(name)).unlink()
    assert convert(*paths, '--out', tiles / 'again')[0] == 0
    lost = sorted([split['val'], split['test'].split()[1]])
    for name in lost:
        (tiles / 'eroded' / mask(name)).unlink()
    status, said = convert(*paths, '--out', tiles / 'none')
    assert status == 2 and f'eroded lacks the eroded masks of {", ".join(lost)}, which are for' in said
    assert str(tiles / 'eroded') in said and not (tiles / 'none').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--parts', '22', '2', '9'], '--parts 22 2 9: .*top has 5 tiles with masks'),
        (['--patch', '16'], '--patch must be at least 32'),
        (['--rich', 'boat', '0.1'], "--rich: no class 'boat'; known are impervious_surface, .*car"),
        (['--zoom', 'boat', '0.1'], "--zoom: no class 'boat'; known are impervious_surface, .*car"),
        (['--zoom', 'car', '1'], '--zoom: the share is from 0 to 1, got 1'),
        (['--zoom', 'car', '0.1', '--rich', 'car', '0.1'], 'enlarged .* --rich small .*: give only one'),
        (['--rich', 'car', 'much'], '--rich: the share is from 0 to 1, got much'),
    ],
)
def test_refusals(convert, tiles, options, message):
    status, said = convert(tiles / 'top', tiles / 'gts', '--out', tiles / 'out', *options)
    assert status == 2 and re.search(message, said), said
    assert not (tiles / 'out').exists()


def test_what_is_missing(convert, tiles):
    status, said = convert(tiles / 'none', tiles / 'gts', '--out', tiles / 'out')
    assert status == 2 and 'no such folder' in said
    (tiles / 'empty').mkdir()
    status, said = convert(tiles / 'top', tiles / 'empty', '--out', tiles / 'out')
    assert 'has a mask of its name' in said and 'top_potsdam_2_10_label.tif' in said
