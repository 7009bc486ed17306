"""UAVid, as downloaded."""

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

pytest.importorskip('mmseg.datasets')
from rsmamba_mm.datasets import UAVidDataset

PALETTE = UAVidDataset.METAINFO['palette']
PIPELINE = [dict(type='LoadPaletteAnnotations', palette=PALETTE, ignore=[])]


@pytest.fixture
def folder(tmp_path):
    """Two sequences for training, one to test without masks; each mask is of one class."""
    for part, sequence in (('uavid_train', 'seq10'), ('uavid_train', 'seq2'), ('uavid_test', 'seq21')):
        for kind in ('Images', 'Labels') if part == 'uavid_train' else ('Images',):
            place = tmp_path / part / sequence / kind
            place.mkdir(parents=True)
            for index in (0, 1):
                colour = tuple(PALETTE[int(sequence[3:]) % 8]) if kind == 'Labels' else (9, 9, 9)
                Image.new('RGB', (12, 10), colour).save(place / f'{index:06d}.png')
    return tmp_path


def test_sequences_and_colours(folder):
    dataset = UAVidDataset(str(folder), ['uavid_train'], pipeline=PIPELINE)
    names = [str(Path(sample['img_path']).relative_to(folder)) for sample in dataset]
    assert names == [f'uavid_train/seq{n}/Images/00000{i}.png' for n in (2, 10) for i in (0, 1)]
    assert [np.unique(sample['gt_seg_map']).tolist() for sample in dataset] == [[2]] * 4
    assert dataset.metainfo['classes'][2] == 'road' and len(dataset.metainfo['classes']) == len(PALETTE)


def test_black_is_a_class(folder):
    mask = folder / 'uavid_train/seq2/Labels/000000.png'
    Image.new('RGB', (12, 10)).save(mask)
    dataset = UAVidDataset(str(folder), ['uavid_train'], pipeline=PIPELINE)
    assert (dataset[0]['gt_seg_map'] == 0).all()


def test_images_to_test_need_no_masks(folder):
    dataset = UAVidDataset(str(folder), ['uavid_test'], pipeline=PIPELINE, test_mode=True)
    assert len(dataset) == 2 and 'gt_seg_map' not in dataset[0]
    with pytest.raises(
        FileNotFoundError, match=r'000000\.png has no mask: .*Labels/000000\.png is not there'
    ):
        UAVidDataset(str(folder), ['uavid_test'])


def test_refusals(folder):
    with pytest.raises(
        FileNotFoundError, match=r'no sequences in .*uavid_val.*--cfg-options data_root=FOLDER'
    ):
        UAVidDataset(str(folder), ['uavid_val'])
    for parts in ([], 'uavid_val'):
        with pytest.raises(ValueError, match='parts is a list of names'):
            UAVidDataset(str(folder), parts)


def test_config_has_the_palette_of_the_data_set(root):
    cfg = Config.fromfile(root / 'configs/unetmamba/unetmamba_rest-lite_uavid-512x512.py')
    assert cfg.load_pipeline[1].palette == PALETTE and cfg.load_pipeline[1].ignore == []
    comment = re.search(
        r'# (background clutter, .*)', (root / 'configs/_base_/datasets/uavid_512px.py').read_text()
    )
    assert tuple(comment[1].split(', ')) == UAVidDataset.METAINFO['classes']
    types = [step.type for step in cfg.mix_pipeline]
    assert 'RandomRotate' not in types and types.count('RandomFlip') == 1
