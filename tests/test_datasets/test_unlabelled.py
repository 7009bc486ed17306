import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from test_datasets.test_transforms import geotiff
from torch.utils.data import DataLoader

from rsmamba_mm.datasets import AdaptiveRotation, UnlabelledImages
from rsmamba_mm.datasets.rotation import patch_scores, turn
from rsmamba_mm.errors import FaultyDataError, MissingDataError, OptionError

LOAD = [dict(type='LoadSceneImage')]
RASTERS = [dict(type='LoadGeoImage', bands=[1, 2])]


@pytest.fixture
def tree(tmp_path):
    """Four images at three depths, one of them broken, and what is none."""
    for i, place in enumerate(['', 'a', 'a', 'b/c/d']):
        folder = tmp_path / 'tree' / place
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{i}.png'), np.full((8, 8, 3), i, np.uint8))
    (tmp_path / 'tree/a/2.png').write_bytes(b'no image')
    (tmp_path / 'tree/a/notes.txt').write_text('none')
    (tmp_path / 'tree/.hidden.png').write_text('none')
    return tmp_path / 'tree'


@pytest.fixture
def log(tmp_path):
    """The file of a run's log."""
    path = tmp_path / 'run.log'
    MMLogger.get_instance(f'unlabelled {tmp_path}', log_file=str(path))
    return path


@pytest.mark.parametrize('workers', [0, 2])
def test_an_unreadable_image_is_left_out_counted_and_named(tree, workers, log):
    dataset = UnlabelledImages(str(tree), pipeline=LOAD)
    assert [dataset.get_data_info(i)['img_path'].removeprefix(f'{tree}/') for i in range(4)] == [
        '0.png', 'a/1.png', 'a/2.png', 'b/c/d/3.png',
    ]  # fmt: skip
    for _ in range(2):
        loader = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=list)
        values = [int(sample['img'][0, 0, 0]) for batch in loader for sample in batch]
        assert len(values) == 4 and values[:2] + values[3:] == [0, 1, 3] and values[2] != 2
    assert dataset.left_out == 1
    assert log.read_text().count('2.png cannot be read and is left out (') == 1
    assert '; 1 of 4 so far' in log.read_text()
    with pytest.raises(OSError, match=r'2\.png cannot be read'):
        UnlabelledImages(str(tree), pipeline=LOAD, test_mode=True)[2]


def test_lists_and_single_files(tree, tmp_path):
    listing = tmp_path / 'list.txt'
    listing.write_text(f'b/c/d/3.png\n\n{tree}/0.png\n')
    dataset = UnlabelledImages(str(tree), ann_file=str(listing), pipeline=LOAD)
    assert [int(sample['img'].mean()) for sample in dataset] == [3, 0]
    assert len(UnlabelledImages(str(tree / '0.png'))) == 1
    listing.write_text('a/2.png\nnone.png\n')
    dataset = UnlabelledImages(str(tree), ann_file=str(listing), pipeline=LOAD)
    with pytest.raises(FaultyDataError, match='2 of 2 samples could not be read so far, and 100 in a row'):
        dataset[0]


def test_large_rasters_are_cut_as_they_are_read(tmp_path, log):
    bands = np.arange(2 * 10 * 14, dtype=np.uint16).reshape(2, 10, 14)
    geotiff(tmp_path / 'a.tif', bands)
    geotiff(tmp_path / 'small.tif', bands[:, :3, :5])
    (tmp_path / 'broken.tif').write_bytes(b'II*\0')
    dataset = UnlabelledImages(str(tmp_path), tile=8, pipeline=RASTERS)
    windows = [sample['window'] for sample in (dataset.get_data_info(i) for i in range(len(dataset)))]
    assert windows == [(0, 0, 8, 8), (0, 6, 8, 8), (2, 0, 8, 8), (2, 6, 8, 8), (0, 0, 3, 5)]
    assert 'broken.tif cannot be read and is left out' in log.read_text()
    np.testing.assert_array_equal(dataset[3]['img'], bands[:, 2:, 6:].transpose(1, 2, 0))
    assert dataset[4]['img'].shape == (3, 5, 2)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(data_root='nowhere'), MissingDataError, r'nowhere is not there; expected: a folder with im'),
        (dict(ann_file='none.txt'), MissingDataError, r'list not found: .*none\.txt; expected: a text fil'),
        (dict(tile=0), OptionError, 'tile is the side of parts in pixels, got 0'),
        (dict(tile=8, pipeline=LOAD), OptionError, 'tile=8 cuts parts out of large images, which only Loa'),
    ],
)
def test_what_is_refused(options, error, message, tree):
    with pytest.raises(error, match=message):
        UnlabelledImages(**{'data_root': str(tree), **options})


def test_no_images(tmp_path):
    with pytest.raises(MissingDataError, match=r'no images in .* or below it \(\.jpg'):
        UnlabelledImages(str(tmp_path))


# turned squares ---------------------------------------------------------------------------------


def textured(height: int = 96, width: int = 128) -> np.ndarray:
    """Flat but for a square of noise with its centre in the patch (3, 5) of 16 px."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[48:64, 80:96] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    return image


@pytest.mark.parametrize('score', ['lbp', 'std'])
def test_the_square_with_texture_is_turned_and_told(score):
    image = textured()
    results = AdaptiveRotation(sizes=(64, 32), score=score)(dict(img=image.copy()))
    assert patch_scores(image, 16, score).argmax() == 3 * 8 + 5
    expected = np.zeros((6, 8), bool)
    expected[1:5, 3:7] = True
    np.testing.assert_array_equal(results['mask'], expected)
    changed = (results['img'] != image).any(2)
    assert changed.any() and not changed[~expected.repeat(16, 0).repeat(16, 1)].any()
    assert results['img'].dtype == np.uint8 and results['img'].min() >= 0


def test_the_largest_square_that_has_the_texture_of_the_image():
    scores = np.ones((4, 4))
    scores[1:3, 1:3] = 0
    scores[1, 1] = 2
    assert AdaptiveRotation(sizes=(48, 32, 16))._choose(scores) == (0, 0, 2)  # 7/9, 5/4; of all 7/8
    scores[2, 2] = 1
    assert AdaptiveRotation(sizes=(48, 32, 16))._choose(scores) == (0, 0, 2)  # 8/9, 5/4; of all 15/16
    scores[2, 1] = 1
    assert AdaptiveRotation(sizes=(48, 32, 16))._choose(scores) == (0, 0, 3)  # 9/9; of all 1
    flat = np.zeros((4, 4))
    flat[3, 3], flat[0, :3] = 10, 9
    assert AdaptiveRotation(sizes=(48, 16))._choose(flat) == (3, 3, 1)


def test_a_quarter_turn_is_exact_for_any_bands():
    square = np.random.default_rng(0).random((8, 8, 6), np.float32)
    np.testing.assert_allclose(turn(square, 90), np.rot90(square), atol=1e-4)


def test_never_applied_marks_nothing():
    image = textured()
    results = AdaptiveRotation(prob=0)(dict(img=image))
    assert results['img'] is image and results['mask'].shape == (6, 8) and not results['mask'].any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(score='hog'), "unknown score 'hog'. Choose from: lbp, std, random"),
        (dict(sizes=(40,)), r'sizes are multiples of patch_size=16, got \(40,\)'),
        (dict(prob=2), r'prob in \[0, 1\], got degrees=45.0, prob=2'),
    ],
)
def test_refused_options_of_the_rotation(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveRotation(**options)


def test_refused_images_of_the_rotation():
    with pytest.raises(ValueError, match='patches of 16 px do not divide an image of 40 × 48 px: crop'):
        AdaptiveRotation()(dict(img=np.zeros((40, 48, 3), np.uint8)))
    with pytest.raises(ValueError, match='a square of 32 px does not fit in an image of 1 × 1 patches'):
        AdaptiveRotation()(dict(img=np.zeros((16, 16, 3), np.uint8)))
