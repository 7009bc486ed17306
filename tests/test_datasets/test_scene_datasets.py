from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS

import rsmamba_mm
from rsmamba_mm.datasets import AID, RESISC45, UCMerced
from rsmamba_mm.errors import OptionError

SHARED = Path(__file__).parents[2].parent / 'shared' / 'data'


def fake(root: Path, kind, suffix: str = '.png', folder: str | None = None) -> Path:
    """Two tiny images in every class folder."""
    images = root / (kind.FOLDER if folder is None else folder)
    for name in kind.METAINFO['classes']:
        (images / name).mkdir(parents=True)
        for index in range(2):
            cv2.imwrite(str(images / name / f'{name}_{index}{suffix}'), np.full((8, 8, 3), 9, np.uint8))
    return root


@pytest.mark.parametrize('name', ['AID', 'RESISC45', 'RSClsDataset', 'SceneFolder', 'UCMerced'])
def test_each_is_found_where_it_was(name):
    from rsmamba_mm import datasets
    from rsmamba_mm.datasets import scene_datasets

    assert getattr(scene_datasets, name) is getattr(datasets, name) is getattr(rsmamba_mm, name)
    assert DATASETS.get(f'rsmamba_mm.{name}') is getattr(datasets, name)


@pytest.mark.parametrize(('kind', 'classes'), [(UCMerced, 21), (AID, 30), (RESISC45, 45)])
@pytest.mark.parametrize('suffix', ['.tif', '.jpg', '.png'])
def test_layout_as_downloaded(kind, classes, suffix, tmp_path):
    dataset = kind(str(fake(tmp_path, kind, suffix)))
    assert len(dataset.CLASSES) == classes and len(dataset) == 2 * classes
    assert list(dataset.get_gt_labels()) == sorted([*range(classes)] * 2)
    sample = dataset.get_data_info(3)
    assert Path(sample['img_path']).parent.name == dataset.CLASSES[sample['gt_label']]
    assert cv2.imread(sample['img_path']).shape == (8, 8, 3)


def test_class_folders_may_stand_in_the_root(tmp_path):
    assert len(UCMerced(str(fake(tmp_path, UCMerced, folder='')))) == 42


def test_annotation_file(tmp_path):
    fake(tmp_path, UCMerced)
    # published lists name the original .tif; blank lines are allowed
    (tmp_path / 'train.txt').write_text('beach/beach_1.tif\n\nImages/river/river_0.png\n')
    dataset = UCMerced(str(tmp_path), ann_file='train.txt')
    assert [dataset.CLASSES[label] for label in dataset.get_gt_labels()] == ['beach', 'river']


def test_part_held_out_for_model_selection(tmp_path):
    fake(tmp_path, UCMerced)
    parts = [UCMerced(str(tmp_path), holdout=0.5, held_out=held_out) for held_out in (False, True)]
    names = [{part.get_data_info(i)['img_path'] for i in range(len(part))} for part in parts]
    assert [len(part) for part in names] == [21, 21] and not names[0] & names[1]
    assert all(list(part.get_gt_labels()) == list(range(21)) for part in parts)
    with pytest.raises(ValueError, match=r'got holdout=0\.0, held_out=True'):
        UCMerced(str(tmp_path), held_out=True)


def test_through_mmpretrain_pipeline(tmp_path):
    pytest.importorskip('mmpretrain.datasets')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')]
    sample = AID(str(fake(tmp_path, AID)), pipeline=pipeline)[5]
    assert sample['inputs'].shape == (3, 8, 8)
    assert sample['data_samples'].gt_label.item() == 2


def test_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'UCMerced: no class folders in .*21 classes.*data_root'):
        UCMerced(str(tmp_path))
    fake(tmp_path, UCMerced)
    with pytest.raises(FileNotFoundError, match=r'annotation file not found: .*train\.txt'):
        UCMerced(str(tmp_path), ann_file='train.txt')
    (tmp_path / 'list.txt').write_text('beach/beach_0.png\nbeach/beach_9.png\n')
    with pytest.raises(
        FileNotFoundError, match=r"list\.txt:2: missing: 'beach/beach_9\.png' is listed but"
    ):
        UCMerced(str(tmp_path), ann_file='list.txt')
    (tmp_path / 'list.txt').write_text('moon/moon_0.png\n')
    with pytest.raises(
        ValueError, match=r"list\.txt:1: unknown class: 'moon/moon_0\.png' names no class of UCMerced"
    ):
        UCMerced(str(tmp_path), ann_file='list.txt')
    for path in (tmp_path / 'Images' / 'beach').iterdir():
        path.unlink()
    (tmp_path / 'Images' / 'beach').rmdir()
    with pytest.raises(FileNotFoundError, match=r'lacks 1 of 21 class folders: beach'):
        UCMerced(str(tmp_path))
    with pytest.raises(TypeError, match='ann_fle'):
        UCMerced(str(tmp_path), ann_fle='train.txt')


@pytest.mark.skipif(not SHARED.is_dir(), reason='the real images are not here')
def test_real_images():
    sizes = [len(UCMerced(str(SHARED / 'ucmerced'), ann_file=f'{part}.txt')) for part in ('train', 'val')]
    assert sizes == [1470, 630]
    assert len(AID(str(SHARED / 'aid150'))) == 600


def test_halves_of_which_one_is_parted_again(tmp_path):
    fake(tmp_path, AID, folder='')
    for name in AID.METAINFO['classes']:
        for index in range(2, 8):
            (tmp_path / name / f'{index}.png').symlink_to(tmp_path / name / f'{name}_0.png')
    options = [dict(holdout=0.25), dict(holdout=0.25, held_out=True), dict(rest=True)]
    parts = [AID(str(tmp_path), share=0.5, **each) for each in options]
    names = [{part.get_data_info(i)['img_path'] for i in range(len(part))} for part in parts]
    assert [len(part) for part in names] == [90, 30, 120]
    assert len(set.union(*names)) == 240
    for wrong in (dict(share=0), dict(share=1.5), dict(rest=True)):
        with pytest.raises(
            OptionError, match=r'AID: share is in \(0, 1\], and rest=True needs one below 1'
        ):
            AID(str(tmp_path), **wrong)
