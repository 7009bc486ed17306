import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmseg.datasets')
from rsmamba_mm.datasets import DubaiDataset, LoadPaletteAnnotations

PALETTE = DubaiDataset.METAINFO['palette']
REAL = Path(__file__).parents[3] / 'shared/data/dubai'


def masks(folder: Path) -> tuple[np.ndarray, list[str]]:
    """One mask as RGB, and as a palette file whose entries are in another order."""
    labels = np.random.default_rng(0).integers(0, 7, (8, 9))
    colours = np.array([*PALETTE, (0, 0, 0)], np.uint8)
    paths = [str(folder / 'rgb.png'), str(folder / 'palette.png')]
    Image.fromarray(colours[labels]).save(paths[0])
    file = Image.fromarray((6 - labels).astype(np.uint8), mode='P')
    file.putpalette(colours[::-1].flatten().tolist())
    file.save(paths[1])
    return np.where(labels == 6, 255, labels), paths


def test_colours_are_classes(tmp_path):
    labels, paths = masks(tmp_path)
    for path in paths:
        results = LoadPaletteAnnotations(PALETTE)(dict(seg_map_path=path, seg_fields=[]))
        np.testing.assert_array_equal(results['gt_seg_map'], labels)
        assert results['gt_seg_map'].dtype == np.uint8 and results['seg_fields'] == ['gt_seg_map']


def test_refusals(tmp_path):
    _, (path, _) = masks(tmp_path)
    with pytest.raises(ValueError, match=r'rgb\.png: \d+ pixels have a colour that is no class'):
        LoadPaletteAnnotations(PALETTE[:3])(dict(seg_map_path=path))
    (tmp_path / 'text.png').write_text('no mask')
    with pytest.raises(OSError, match=r'text\.png cannot be read as a mask'):
        LoadPaletteAnnotations(PALETTE)(dict(seg_map_path=str(tmp_path / 'text.png')))
    with pytest.raises(ValueError, match=r'three integers from 0 to 255, got \(0, 256, 1\)'):
        LoadPaletteAnnotations([(0, 256, 1)])
    with pytest.raises(ValueError, match=r'colour \(0, 0, 0\) stands twice'):
        LoadPaletteAnnotations([(0, 0, 0)])


def tile(folder: Path, images: int = 2) -> Path:
    for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True)
    for index in range(images):
        Image.new('RGB', (12, 10)).save(folder / 'images' / f'{index}.jpg')
        Image.new('RGB', (12, 10), tuple(PALETTE[1])).save(folder / 'masks' / f'{index}.png')
    return folder


def test_dubai(tmp_path):
    for name in ('tile1', 'tile2'):
        tile(tmp_path / name)
    pipeline = [dict(type='LoadPaletteAnnotations', palette=PALETTE)]
    dataset = DubaiDataset(str(tmp_path), ['tile2', 'tile1'], pipeline=pipeline)
    names = [str(Path(dataset[i]['img_path']).relative_to(tmp_path)) for i in range(len(dataset))]
    assert names == ['tile2/images/0.jpg', 'tile2/images/1.jpg', 'tile1/images/0.jpg', 'tile1/images/1.jpg']
    assert (dataset[3]['gt_seg_map'] == 1).all()


def test_dubai_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no images in .*tile3.*--cfg-options data_root=FOLDER'):
        DubaiDataset(str(tmp_path), ['tile3'])
    (tile(tmp_path / 'tile1') / 'masks/1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1\.jpg has no mask: .*masks/1\.png is not there'):
        DubaiDataset(str(tmp_path), ['tile1'])
    for tiles in ([], 'tile7'):
        with pytest.raises(ValueError, match='tiles is a list of names'):
            DubaiDataset(str(tmp_path), tiles)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason='the images of Dubai are not here')
def test_every_real_mask_is_understood():
    names = [path.name for path in sorted(REAL.glob('tile*'))]
    dataset = DubaiDataset(str(REAL), names, pipeline=[LoadPaletteAnnotations(PALETTE)])
    assert len(dataset) == 9 * len(names)
    seen = set()
    for sample in dataset:
        size = Image.open(sample['img_path']).size
        assert sample['gt_seg_map'].shape == size[::-1], sample['img_path']
        seen |= set(np.unique(sample['gt_seg_map']).tolist())
    assert seen == {0, 1, 2, 3, 4, 5, 255}


def test_config_has_the_palette_of_the_data_set(root):
    from mmengine.config import Config

    cfg = Config.fromfile(root / 'configs/unetmamba/unetmamba_rest-lite_dubai-512x512.py')
    assert cfg.load_pipeline[1].palette == PALETTE
    comment = re.search(r'# (building, .*);', (root / 'configs/_base_/datasets/dubai_512px.py').read_text())
    assert tuple(comment[1].split(', ')) == DubaiDataset.METAINFO['classes']


@pytest.mark.parametrize(
    ('config', 'folder'),
    [
        ('loveda-512x512', 'pseudo_loveda_dataset'),
        ('vaihingen-512x512', 'pseudo_vaihingen_dataset'),
        ('potsdam-768x768', 'pseudo_potsdam_dataset'),
    ],
)
def test_real_samples_of_mmsegmentation(root, config, folder):
    from mmengine.config import Config
    from mmengine.registry import DATASETS, init_default_scope

    samples = REAL.parent / 'mmseg_samples' / folder
    if not samples.is_dir():
        pytest.skip("mmsegmentation's samples are not here")
    cfg = Config.fromfile(root / f'configs/unetmamba/unetmamba_rest-lite_{config}.py')
    init_default_scope('mmseg')
    classes = cfg.model.decode_head.num_classes
    prefix = dict(img_path='img_dir', seg_map_path='ann_dir')
    train = DATASETS.build(
        dict(
            cfg.train_dataloader.dataset,
            dataset=dict(cfg.train_dataloader.dataset.dataset, data_root=str(samples), data_prefix=prefix),
        )
    )
    test = DATASETS.build(dict(cfg.test_dataloader.dataset, data_root=str(samples), data_prefix=prefix))
    assert len(train) == len(test) >= 1
    for dataset in (train, test):
        sample = dataset[0]
        labels = sample['data_samples'].gt_sem_seg.data
        assert labels.shape[1:] == sample['inputs'].shape[1:]
        assert set(labels.unique().tolist()) <= {*range(classes), 255}
    assert len(labels.unique()) > 2  # of the whole image; a random crop may have one
