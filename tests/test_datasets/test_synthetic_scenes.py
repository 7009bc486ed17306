"""Tests of the synthetic scenes."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
from mmengine.registry import DATASETS

from rsmamba_mm.datasets import (
    SCENE_CLASSES,
    SCENE_MASK_CLASSES,
    SCENE_MASK_PALETTE,
    SyntheticScenes,
    mean_colour_accuracy,
    render_scene,
)

CHARACTERISTIC_COVER = {
    'beach': {'sand', 'water'},
    'crop_field': {'bare_soil'},
    'crossroads': {'pavement'},
    'forest': {'tree'},
    'harbor': {'water', 'vehicle', 'pavement'},
    'lake': {'water'},
    'orchard': {'tree'},
    'parking_lot': {'pavement', 'vehicle'},
    'residential': {'building', 'pavement', 'low_vegetation'},
    'river': {'water'},
    'runway': {'pavement'},
    'storage_tanks': {'building'},
}


def pairs(dataset):
    return [(sample['img'], sample['gt_label']) for sample in dataset]


#: of 64 px, seed 3, index 1: blue, green, red; per cent
RECORDED = {
    'beach': (102.5, 105.7, 100.0, 58.7),
    'crop_field': (63.0, 90.1, 90.8, 55.9),
    'crossroads': (115.1, 124.0, 127.7, 69.8),
    'forest': (57.2, 81.0, 107.0, 4.4),
    'harbor': (120.6, 130.5, 123.6, 24.3),
    'lake': (63.4, 79.0, 66.1, 32.1),
    'orchard': (81.4, 90.1, 99.5, 42.9),
    'parking_lot': (118.4, 128.5, 137.3, 29.5),
    'residential': (89.4, 108.1, 113.5, 31.9),
    'river': (72.6, 84.8, 81.8, 2.3),
    'runway': (142.2, 160.3, 163.2, 44.2),
    'storage_tanks': (137.5, 153.8, 163.4, 45.3),
}


class TestRenderScene:
    def test_vocabulary(self):
        assert len(SCENE_CLASSES) == len(set(SCENE_CLASSES)) == 12
        assert len(SCENE_MASK_CLASSES) == len(SCENE_MASK_PALETTE) <= 8
        assert set(CHARACTERISTIC_COVER) == set(SCENE_CLASSES)

    @pytest.mark.parametrize('name', SCENE_CLASSES)
    @pytest.mark.parametrize('size', [32, 128, (96, 160), (224, 130)])
    def test_shape_and_cover(self, name, size):
        height, width = (size, size) if isinstance(size, int) else size
        scene = render_scene(name, size, seed=3, index=5)
        assert scene.image.shape == (height, width, 3)
        assert scene.mask.shape == (height, width)
        assert scene.image.dtype == scene.mask.dtype == np.uint8
        assert scene.label == SCENE_CLASSES.index(name)
        assert scene.mask.max() < len(SCENE_MASK_CLASSES)
        assert scene.image.std() > 8

    @pytest.mark.parametrize('name', SCENE_CLASSES)
    def test_characteristic_cover(self, name):
        for index in range(8):
            mask = render_scene(name, 96, seed=1, index=index).mask
            shown = {SCENE_MASK_CLASSES[value] for value in np.unique(mask)}
            assert CHARACTERISTIC_COVER[name] <= shown

    @pytest.mark.parametrize('size', [224, 512])
    def test_large(self, size):
        assert render_scene('residential', size).image.shape == (size, size, 3)

    def test_larger_image_shows_the_same_scene_in_more_detail(self):
        small = render_scene('lake', 64, index=2)
        large = render_scene('lake', 256, index=2)
        assert (small.mask == large.mask[2::4, 2::4]).mean() > 0.8

    def test_extent_of_wide_image_has_no_empty_corners(self):
        for name in SCENE_CLASSES:
            mask = render_scene(name, (48, 200), index=1).mask
            halves = mask[:, :100], mask[:, 100:]
            assert all(half.max() < len(SCENE_MASK_CLASSES) for half in halves)

    def test_label_by_name_and_by_index(self):
        by_name = render_scene('harbor', 64, seed=2, index=9)
        by_index = render_scene(SCENE_CLASSES.index('harbor'), (64, 64), seed=2, index=9)
        np.testing.assert_array_equal(by_name.image, by_index.image)

    def test_same_arguments_same_bytes_in_any_order(self):
        calls = [(name, index) for name in SCENE_CLASSES for index in (0, 7)]
        first = {call: render_scene(call[0], 64, 5, call[1]) for call in calls}
        np.random.seed(1)
        for call in reversed(calls):
            again = render_scene(call[0], 64, 5, call[1])
            np.testing.assert_array_equal(again.image, first[call].image)
            np.testing.assert_array_equal(again.mask, first[call].mask)

    @pytest.mark.slow
    def test_same_bytes_in_another_process(self):
        code = (
            'import zlib; from rsmamba_mm.datasets import render_scene;'
            'print(zlib.crc32(render_scene("runway", 64, 4, 11).image.tobytes()))'
        )
        said = subprocess.run(
            [sys.executable, '-c', code], capture_output=True, text=True, check=True
        ).stdout
        here = zlib.crc32(render_scene('runway', 64, 4, 11).image.tobytes())
        assert int(said.splitlines()[-1]) == here

    def test_a_seed_gives_what_it_gave(self):
        """Figures of published runs stay comparable: mean colour, and share of the centre's cover."""
        for name, expected in RECORDED.items():
            image, mask, _ = render_scene(name, 64, 3, 1)
            found = [*image.mean((0, 1)), 100 * (mask == mask[32, 32]).mean()]
            np.testing.assert_allclose(found, expected, atol=0.3, err_msg=name)

    def test_seed_and_index_change_the_scene(self):
        images = [render_scene('lake', 64, seed, index).image for seed, index in
                  ((0, 0), (0, 1), (1, 0))]  # fmt: skip
        assert not np.array_equal(images[0], images[1])
        assert not np.array_equal(images[0], images[2])

    def test_global_random_state_is_left_alone(self):
        np.random.seed(0)
        expected = np.random.random()
        np.random.seed(0)
        render_scene('forest', 64)
        assert np.random.random() == expected

    @pytest.mark.parametrize('label', ['airport', 12, -1, 1.5, True])
    def test_unknown_class_lists_the_valid_ones(self, label):
        with pytest.raises(ValueError, match=r'beach, crop_field.*storage_tanks'):
            render_scene(label)

    @pytest.mark.parametrize('size', [16, (128, 31)])
    def test_small_size_says_what_to_do(self, size):
        with pytest.raises(ValueError, match='at least 32 pixels'):
            render_scene('lake', size)

    @pytest.mark.parametrize('size', ['128', 12.5, (128,), (1, 2, 3)])
    def test_malformed_size(self, size):
        with pytest.raises(ValueError, match='pair'):
            render_scene('lake', size)

    def test_negative_seed(self):
        with pytest.raises(ValueError, match='seed must be an integer of at least 0'):
            render_scene('lake', seed=-1)


class TestSyntheticScenes:
    def test_classification_sample(self):
        dataset = DATASETS.build({'type': 'SyntheticScenes', 'num_images': 24, 'img_size': 64, 'seed': 1})
        assert len(dataset) == 24
        assert dataset.metainfo['classes'] == dataset.CLASSES == SCENE_CLASSES
        assert dataset.class_to_idx['lake'] == SCENE_CLASSES.index('lake')
        assert np.bincount(dataset.get_gt_labels()).tolist() == [2] * 12
        sample = dataset[13]
        assert sample['img'].shape == (64, 64, 3)
        assert sample['img_shape'] == sample['ori_shape'] == (64, 64)
        assert sample['gt_label'] == 1 and dataset.get_cat_ids(13) == [1]
        assert sample['sample_idx'] == 13
        assert sample['img_path'] == 'synthetic/1/000013_crop_field.png'
        assert 'gt_seg_map' not in sample
        np.testing.assert_array_equal(sample['img'], render_scene(1, 64, 1, 13).image)

    def test_segmentation_sample(self):
        dataset = SyntheticScenes(num_images=3, img_size=(48, 64), task='segmentation')
        assert dataset.metainfo['classes'] == SCENE_MASK_CLASSES
        assert dataset.metainfo['palette'] == SCENE_MASK_PALETTE
        sample = dataset[2]
        assert sample['gt_seg_map'].shape == sample['img'].shape[:2] == (48, 64)
        assert sample['seg_fields'] == ['gt_seg_map']
        assert sample['reduce_zero_label'] is False

    @pytest.mark.parametrize('cache', [True, False])
    def test_in_place_transform_does_not_reach_the_next_reader(self, cache):
        def blacken(sample):
            before.append(sample['img'].copy())
            sample['img'][:] = 0
            sample['gt_seg_map'][:] = 255
            return sample

        before = []
        dataset = SyntheticScenes(
            num_images=2, img_size=48, task='segmentation', pipeline=[blacken], cache=cache
        )
        dataset[0], dataset[0]
        np.testing.assert_array_equal(before[0], before[1])
        assert before[1].any()

    def test_indices_and_subset_keep_the_scene(self):
        dataset = SyntheticScenes(num_images=20, img_size=48)
        chosen = SyntheticScenes(num_images=20, img_size=48, indices=[17, 4])
        subset = dataset.get_subset([17, 4])
        for other in (chosen, subset):
            assert len(other) == 2
            np.testing.assert_array_equal(other[0]['img'], dataset[17]['img'])
            assert other[1]['gt_label'] == dataset[4]['gt_label']

    def test_lazy_init(self):
        dataset = SyntheticScenes(num_images=2, img_size=48, lazy_init=True)
        assert dataset.metainfo['classes'] == SCENE_CLASSES
        dataset.full_init()
        assert len(dataset) == 2

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'num_images': 0}, 'num_images must be an integer of at least 1'),
            ({'num_images': 2.5}, 'num_images'),
            ({'num_images': 4, 'task': 'detection'}, "'classification', 'segmentation'"),
            ({'num_images': 4, 'img_size': 8}, 'img_size 8 is too small'),
            ({'num_images': 4, 'seed': -3}, 'seed must be'),
        ],
    )
    def test_bad_options_are_refused_at_once(self, options, message):
        with pytest.raises(ValueError, match=message):
            SyntheticScenes(**options, lazy_init=True)

    def test_misspelt_option_is_refused(self):
        with pytest.raises(TypeError, match='image_size'):
            SyntheticScenes(num_images=4, image_size=64)


class TestPipelines:
    def test_mmpretrain(self):
        pytest.importorskip('mmpretrain.datasets')
        dataset = SyntheticScenes(
            num_images=12,
            img_size=(64, 96),
            pipeline=[
                {'type': 'mmpretrain.RandomResizedCrop', 'scale': 48},
                {'type': 'mmpretrain.RandomFlip', 'prob': 0.5, 'direction': 'horizontal'},
                {'type': 'mmpretrain.Resize', 'scale': (40, 32)},
                {'type': 'mmpretrain.PackInputs'},
            ],
        )
        sample = dataset[5]
        assert sample['inputs'].shape == (3, 32, 40)
        assert sample['data_samples'].gt_label.tolist() == [5]
        assert sample['data_samples'].img_path.endswith('harbor') is (SCENE_CLASSES[5] == 'harbor')
        assert sample['data_samples'].sample_idx == 5

    def test_mmseg(self):
        pytest.importorskip('mmseg.datasets')
        dataset = SyntheticScenes(
            num_images=12,
            img_size=(64, 96),
            task='segmentation',
            pipeline=[
                {'type': 'mmseg.RandomCrop', 'crop_size': (48, 48), 'cat_max_ratio': 0.95},
                {'type': 'mmseg.RandomFlip', 'prob': 0.5},
                {'type': 'mmseg.PackSegInputs'},
            ],
        )
        sample = dataset[3]
        assert sample['inputs'].shape == (3, 48, 48)
        assert sample['data_samples'].gt_sem_seg.data.shape == (1, 48, 48)
        assert sample['data_samples'].reduce_zero_label is False
        assert sample['data_samples'].ori_shape == (64, 96)


class TestMeanColour:
    @pytest.mark.slow
    def test_colour_does_not_decide(self):
        train = SyntheticScenes(num_images=360, img_size=64, seed=0)
        test = SyntheticScenes(num_images=240, img_size=64, seed=1)
        assert mean_colour_accuracy(pairs(train), pairs(test)) <= 60

    def test_finds_colours_that_do_decide(self):
        train = [(np.full((4, 4, 3), value), label) for value, label in ((10, 7), (200, 3))]
        test = [(np.full((2, 6, 3), value), label) for value, label in ((30, 7), (180, 3), (20, 3))]
        assert mean_colour_accuracy(train, test) == pytest.approx(200 / 3)

    def test_empty_set(self):
        with pytest.raises(ValueError, match='test_images holds no image'):
            mean_colour_accuracy([(np.zeros((2, 2, 3)), 0)], [])


def test_loading_transforms_are_left_out(monkeypatch):
    from mmengine.registry import init_default_scope

    init_default_scope('mmengine')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), lambda sample: sample]
    scenes = SyntheticScenes(2, 64, task='segmentation', pipeline=pipeline)
    assert scenes[1]['img'].shape == (64, 64, 3) and scenes[1]['gt_seg_map'].shape == (64, 64)
