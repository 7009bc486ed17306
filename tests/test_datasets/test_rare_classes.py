import numpy as np
import pytest
from mmengine.registry import DATA_SAMPLERS, DATASETS
from PIL import Image

pytest.importorskip('mmseg.datasets')
import rsmamba_mm.datasets  # noqa: F401 - registers
from rsmamba_mm.datasets import RareClassSampler
from rsmamba_mm.errors import FaultyDataError, OptionError

CAR, CLUTTER = 4, 5
IMAGES = 20


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Twenty patches of four classes: the last two have cars, the third clutter, and one pixel of car."""
    root = tmp_path_factory.mktemp('patches')
    for kind in ('img_dir', 'ann_dir'):
        (root / kind / 'train').mkdir(parents=True)
    for index in range(IMAGES):
        labels = np.repeat(np.arange(4), 1024).reshape(64, 64).astype(np.uint8)
        if index >= IMAGES - 2:
            labels[:4, :4] = CAR
        if index == 2:
            labels[:8, :8], labels[9, 9] = CLUTTER, CAR
        labels[63] = 255
        Image.fromarray(labels).save(root / f'ann_dir/train/{index:02}.png')
        Image.new('RGB', (64, 64)).save(root / f'img_dir/train/{index:02}.png')
    return root


def patches(folder, **options):
    return dict(
        type='ISPRSPatches',
        data_root=str(folder),
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')],
        **options,
    )


def dataset(folder):
    return DATASETS.build(
        dict(
            type='mmseg.MultiImageMixDataset',
            dataset=patches(folder),
            pipeline=[dict(type='mmseg.PackSegInputs')],
        )
    )


def sampler(folder, **options):
    return DATA_SAMPLERS.build(
        dict(type='rsmamba_mm.RareClassSampler', **options),
        default_args=dict(dataset=dataset(folder), seed=0),
    )


def drawn(sampler, epochs=50):
    """How often each image comes in an epoch."""
    counts = np.zeros(IMAGES)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert len(indices) == len(sampler) == IMAGES
        counts += np.bincount(indices, minlength=IMAGES)
    return counts / epochs


def test_odds_are_those_of_the_paper(folder):
    temperature = 0.2
    pixels = np.full(6, 0.0)
    for path in (folder / 'ann_dir/train').iterdir():
        pixels += np.bincount(np.asarray(Image.open(path)).ravel(), minlength=256)[:6]
    odds = np.exp((1 - pixels / pixels.sum()) / temperature)
    found = sampler(folder, temperature=temperature)
    np.testing.assert_allclose(found.odds, odds / odds.sum())
    cars = drawn(found)[-2:].sum() / IMAGES
    # the two images come for their other classes too
    np.testing.assert_allclose(cars, found.odds[CAR] + found.odds[:4].sum() * 2 / IMAGES, atol=0.03)


def test_images_of_a_class_come_in_turns(folder):
    counts = drawn(sampler(folder, temperature=1e-3, exclude=['clutter']), epochs=1)
    assert counts.tolist() == [0] * (IMAGES - 2) + [IMAGES / 2] * 2  # one pixel of car is none


def test_the_share_from_which_on_an_image_has_a_class(folder):
    counts = drawn(sampler(folder, temperature=1e-3, exclude=['clutter'], min_share=0.0), epochs=10)
    assert counts.nonzero()[0].tolist() == [2, IMAGES - 2, IMAGES - 1]


def test_clutter_is_drawn_unless_it_is_excluded(folder):
    assert sampler(folder).odds[CLUTTER] > 0.2
    found = sampler(folder, exclude=['clutter'])
    assert found.odds[CLUTTER] == 0 and found.odds.sum() == pytest.approx(1)


def test_an_epoch_is_the_same_again_and_the_next_one_another(folder):
    found, again = sampler(folder), sampler(folder)
    first = list(found)
    assert first == list(found) == list(again)
    found.set_epoch(1)
    assert first != list(found)


def test_two_processes_share_an_epoch(folder, monkeypatch):
    whole = list(sampler(folder))
    parts = []
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        parts.append(list(sampler(folder)))
    assert [index for pair in zip(*parts, strict=True) for index in pair] == whole


def test_several_data_sets_in_one(folder):
    both = DATASETS.build(dict(type='ConcatDataset', datasets=[patches(folder), patches(folder)]))
    found = RareClassSampler(both, temperature=1e-3, exclude=['clutter'], seed=0)
    assert set(found) == {IMAGES - 2, IMAGES - 1, 2 * IMAGES - 2, 2 * IMAGES - 1}


def test_the_log_says_how_often(folder, capfd):
    from mmengine.logging import MMLogger

    MMLogger.get_instance('rare')
    sampler(folder, exclude=['clutter'])
    said = ''.join(capfd.readouterr())
    assert '20 images are drawn by car for 75% (0.041% of the pixels, 2 images), ' in said


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(temperature=0), r'temperature is above 0.*got temperature=0,'),
        (dict(min_share=1.0), r'min_share in \[0, 1\).*min_share=1\.0'),
        (dict(exclude='clutter'), r"a list of names, got .*exclude='clutter'"),
        (dict(exclude=['cars']), r'exclude names cars, but the classes are impervious_surface, building, '),
        (dict(min_share=0.9), r'in no image of 20 has any class of .* 0\.9 of the pixels: lower min_share'),
    ],
)
def test_refused_options(folder, options, message):
    with pytest.raises(OptionError, match=message):
        sampler(folder, **options)


def test_refused_data(folder, tmp_path):
    repeated = DATASETS.build(dict(type='RepeatDataset', dataset=patches(folder), times=2))
    with pytest.raises(OptionError, match=r'40 samples, but there are 20 images .* out of RepeatDataset'):
        RareClassSampler(repeated, seed=0)
    bare = DATASETS.build(dict(patches(folder), pipeline=[dict(type='LoadImageFromFile')]))
    with pytest.raises(OptionError, match=r'ISPRSPatches has no masks .* for segmentation'):
        RareClassSampler(bare, seed=0)
    unnamed = DATASETS.build(dict(patches(folder), type='mmseg.BaseSegDataset', img_suffix='.png'))
    with pytest.raises(OptionError, match=r'BaseSegDataset names no classes: give it metainfo=dict'):
        RareClassSampler(unnamed, seed=0)
    for kind in ('img_dir', 'ann_dir'):
        (tmp_path / kind / 'train').mkdir(parents=True)
        (tmp_path / kind / 'train/torn.png').write_bytes(b'no image')
    with pytest.raises(FaultyDataError, match=r'torn\.png cannot be read .* tools/check_dataset\.py'):
        RareClassSampler(DATASETS.build(patches(tmp_path)), seed=0)
