from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from rsmamba_mm.datasets import NativeMosaic
from rsmamba_mm.datasets.mosaic import resize_image, resize_labels

UNSET = 255
SIZES = [(90, 70), (64, 64), (70, 120), (65, 66)]


def sample(index: int, shape=(90, 70), dtype=np.uint8, bands: int = 3) -> dict:
    """An image of its number, row and column in each pixel, and labels that follow from them."""
    rows, columns = np.indices(shape)
    image = np.stack([np.full(shape, index), rows, columns, *[rows] * (bands - 3)], -1).astype(dtype)
    return dict(
        img=image,
        gt_seg_map=labels_of(image),
        gt_edge_map=labels_of(image) % 2,
        seg_fields=['gt_seg_map', 'gt_edge_map'],
        img_shape=shape,
        img_path=f'{index}.png',
    )


def labels_of(image: np.ndarray) -> np.ndarray:
    index, row, column = np.moveaxis(image[..., :3].astype(int), -1, 0)
    return ((index + row + 2 * column) % 7).astype(np.uint8)


def mosaic(*samples: dict, **options) -> dict:
    first, *others = samples
    return NativeMosaic(prob=1, **options)(dict(first, mix_results=others))


def centre(image: np.ndarray) -> tuple[int, int]:
    """Row and column where four images meet, told by their numbers."""
    return int((image[:, 0, 0] == image[0, 0, 0]).sum()), int((image[0, :, 0] == image[0, 0, 0]).sum())


def quadrants(image: np.ndarray) -> list[np.ndarray]:
    row, column = centre(image)
    return [part for half in (image[:row], image[row:]) for part in (half[:, :column], half[:, column:])]


@pytest.mark.parametrize(('dtype', 'bands'), [(np.uint8, 3), (np.int32, 5), (np.float32, 4)])
def test_quadrants_are_crops_of_one_sample_each(dtype, bands):
    np.random.seed(0)
    samples = [sample(i, shape, dtype, bands) for i, shape in enumerate(SIZES)]
    starts = set()
    for _ in range(20):
        results = mosaic(*samples, size=64)
        image = results['img']
        assert image.shape == (64, 64, bands) and image.dtype == dtype
        assert results['img_shape'] == (64, 64)
        for index, part in enumerate(quadrants(image)):
            top, left = part[0, 0, 1:3].astype(int)
            rows, columns = part.shape[:2]
            np.testing.assert_array_equal(
                part, samples[index]['img'][top : top + rows, left : left + columns]
            )
            starts.add((index, top, left))
        np.testing.assert_array_equal(results['gt_seg_map'], labels_of(image))
        np.testing.assert_array_equal(results['gt_edge_map'], labels_of(image) % 2)
        assert results['gt_seg_map'].dtype == np.uint8
    assert len(starts) > 60
    for index, shape in enumerate(SIZES):  # the samples are as they were
        np.testing.assert_array_equal(samples[index]['img'], sample(index, shape, dtype, bands)['img'])


def test_centres_lie_in_the_middle_half():
    np.random.seed(0)
    samples = [sample(i, (32, 48)) for i in range(4)]
    rows, columns = np.transpose([centre(mosaic(*samples, size=(32, 48))['img']) for _ in range(1000)])
    assert set(rows) == set(range(8, 25)) and set(columns) == set(range(12, 37))
    assert np.bincount(rows)[8:].min() > 30 and np.bincount(columns)[12:].min() > 15


@pytest.mark.parametrize('shape', [(5, 9), (20, 200), (200, 3), (1, 1)])
def test_small_images_are_enlarged_and_nothing_is_padded(shape):
    np.random.seed(0)
    samples = [sample(i, shape) for i in range(1, 5)]
    for s in samples:
        s['gt_seg_map'][:] = s['img'][..., 0]
    for size in (2, 3, (64, 50)):
        results = mosaic(*samples, size=size)
        assert results['img'].shape[:2] == results['gt_seg_map'].shape == results['img_shape']
        np.testing.assert_array_equal(results['gt_seg_map'], results['img'][..., 0])
        assert set(np.unique(results['gt_seg_map'])) == {1, 2, 3, 4}


def test_enlarged_just_enough():
    np.random.seed(0)
    small = sample(9, (16, 200))
    small['img'][..., 0] = np.where(small['img'][..., 2] // 8 % 2, 200, 9)  # stripes
    small['gt_seg_map'] = (small['img'][..., 0] > 100).astype(np.uint8)
    for _ in range(10):
        results = mosaic(small, *[sample(0, (64, 64)) for _ in range(3)], size=64)
        rows, columns = ((results['img'][line][..., 0] != 0).sum() for line in (np.s_[:, 0], np.s_[0]))
        part, labels = results['img'][:rows, :columns], results['gt_seg_map'][:rows, :columns]
        assert part[0, 0, 1] == 0 and part[-1, 0, 1] == 15  # just all rows of it
        across = int(part[0, -1, 2]) - int(part[0, 0, 2])
        assert abs(across - (columns - 1) * 16 / rows) <= 1  # the columns alike
        clear = np.abs(part[..., 0].astype(int) - 104) > 30
        np.testing.assert_array_equal(labels[clear], (part[..., 0] > 104)[clear])


def test_labels_are_enlarged_in_line_with_the_image():
    labels = np.random.default_rng(0).integers(0, 2, (7, 11)) * 200  # bilinear values tell which is near
    for shape in ((21, 33), (20, 30), (7, 11)):
        image = resize_image(labels.astype(np.float32), shape)
        nearest = resize_labels(labels, shape)
        assert nearest.dtype == labels.dtype and set(np.unique(nearest)) == {0, 200}
        clear = np.abs(image - 100) > 60
        np.testing.assert_array_equal(nearest[clear], np.where(image > 100, 200, 0)[clear])
    many = resize_image(np.arange(12 * 600, dtype=np.int64).reshape(3, 4, 600), (6, 8))
    assert many.shape == (6, 8, 600) and many.dtype == np.int64 and many.max() == 12 * 600 - 1


def test_one_band_and_no_mask():
    samples = [dict(img=np.full((40, 40), i, np.uint16), img_shape=(40, 40)) for i in range(4)]
    results = mosaic(*samples, size=32)
    assert results['img'].shape == (32, 32) and set(np.unique(results['img'])) == {0, 1, 2, 3}
    assert 'gt_seg_map' not in results


@pytest.fixture
def mixed(tmp_path):
    """mmseg's data set of mixed images with a mosaic of 48, over twelve images of 64 × 80."""
    datasets = pytest.importorskip('mmseg.datasets')
    for folder in ('img', 'ann'):
        (tmp_path / folder).mkdir()
    for index in range(12):
        data = sample(index, (64, 80))
        cv2.imwrite(str(tmp_path / 'img' / f'{index:02d}.png'), data['img'])
        cv2.imwrite(str(tmp_path / 'ann' / f'{index:02d}.png'), data['gt_seg_map'])

    def build(**options):
        pipeline = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
        names = tuple('abcdefg')
        return datasets.MultiImageMixDataset(
            dataset=dict(
                type='BaseSegDataset',
                metainfo=dict(classes=names, palette=[[i] * 3 for i in range(7)]),
                data_root=str(tmp_path),
                data_prefix=dict(img_path='img', seg_map_path='ann'),
                img_suffix='.png',
                pipeline=pipeline,
            ),
            pipeline=[dict(type='NativeMosaic', size=48, **options)],
        )

    return build


def test_in_a_data_set_of_mixed_images(mixed):
    np.random.seed(0)
    dataset = mixed(prob=1)
    seen = set()
    for index in range(12):
        results = dataset[index]
        assert 'mix_results' not in results and results['img_shape'] == (48, 48)
        numbers = results['img'][..., 0]
        assert numbers[0, 0] == index
        seen |= set(numbers[[0, -1, -1], [-1, 0, -1]].tolist())
        assert (results['gt_seg_map'] != UNSET).all()
        np.testing.assert_array_equal(results['gt_seg_map'], labels_of(results['img']))
    assert len(seen) > 6

    np.random.seed(5)
    once = [dataset[i]['img'] for i in range(3)]
    np.random.seed(5)
    assert all(np.array_equal(a, dataset[i]['img']) for i, a in enumerate(once))


def test_as_often_as_asked(mixed):
    np.random.seed(0)
    never = mixed(prob=0)
    assert np.array_equal(never[3]['img'], sample(3, (64, 80))['img'])
    assert all(never[i % 12]['img_shape'] == (64, 80) for i in range(30))
    dataset = mixed()
    share = np.mean([dataset[i % 12]['img_shape'] == (48, 48) for i in range(400)])
    assert 0.19 < share < 0.31


def test_others_are_loaded_only_for_a_mosaic(mixed):
    dataset = mixed(prob=0)
    assert [dataset.pipeline[0].get_indices(range(12)) for _ in range(20)] == [[]] * 20
    drawn = [NativeMosaic(prob=1).get_indices(range(12)) for _ in range(200)]
    assert all(len(indices) == 3 for indices in drawn)
    assert {i for indices in drawn for i in indices} == set(range(12))


def test_registered():
    built = TRANSFORMS.build(dict(type='NativeMosaic', size=[512, 768]))
    assert repr(built) == 'NativeMosaic(prob=0.25, size=(512, 768))'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(prob=1.5), r'NativeMosaic: prob is in \[0, 1\], got prob=1.5'),
        (dict(prob=-0.1), 'got prob=-0.1'),
        (dict(size=0), r'NativeMosaic: size is an integer from 2, or \(height, width\) of .*, got size=0'),
        (dict(size=(512, 1)), r'got size=\(512, 1\)'),
        (dict(size=(512, 512, 3)), r'got size=\(512, 512, 3\)'),
        (dict(size=51.2), 'got size=51.2'),
        (dict(size='ab'), "got size='ab'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        NativeMosaic(**options)


def test_samples_that_do_not_fit():
    with pytest.raises(ValueError, match=r'no mix_results in the sample.*MultiImageMixDataset'):
        NativeMosaic()(sample(0))
    plain = sample(0)
    with pytest.raises(ValueError, match=r'7\.png has 4 bands of uint8, but the image .* with 3 bands'):
        mosaic(plain, plain, sample(7, bands=4), plain)
    with pytest.raises(ValueError, match=r'7\.png has 3 bands of float32, but .* 3 bands of uint8: load'):
        mosaic(plain, plain, plain, sample(7, dtype=np.float32))
    with pytest.raises(ValueError, match=r'7\.png is \(90, 70\), but its gt_seg_map is \(70, 90\)'):
        mosaic(plain, dict(sample(7), gt_seg_map=np.zeros((70, 90), np.uint8)), plain, plain)
    with pytest.raises(ValueError, match=r'7\.png is \(90, 70\), but its gt_seg_map is None'):
        mosaic(plain, dict(img=plain['img'], img_path=Path('7.png')), plain, plain)
