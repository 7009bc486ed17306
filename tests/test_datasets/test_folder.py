import pytest

from rsmamba_mm.datasets.folder import find_scenes, stratified_split


def test_find_scenes(scene_folder):
    classes, images, labels = find_scenes(scene_folder)
    assert classes == ['forest', 'parking_lot', 'runway']
    assert images[0] == 'forest/forest00.png' and images[-1] == 'runway/runway09.png'
    assert labels == [0] * 10 + [1] * 10 + [2] * 10


def test_stratified_split():
    labels = [0] * 10 + [1] * 20
    train, val, test = stratified_split(labels, (0.7, 0.1, 0.2))
    assert (len(train), len(val), len(test)) == (21, 3, 6)
    assert sorted(train + val + test) == list(range(30))
    assert sum(labels[index] for index in train) == 14
    assert stratified_split(labels, (0.7, 0.1, 0.2)) == [train, val, test]
    assert stratified_split(labels, (0.7, 0.1, 0.2), seed=1) != [train, val, test]


def test_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'data folder not found: .*one subfolder for each'):
        find_scenes(tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match='has 0 subfolders with images'):
        find_scenes(tmp_path)
    with pytest.raises(ValueError, match='class 1 has 2 samples, too few to split'):
        stratified_split([0] * 9 + [1] * 2, (0.7, 0.1, 0.2))
    with pytest.raises(ValueError, match=r'sum to 1, got \[0.5, 0.6\]'):
        stratified_split([0, 1], (0.5, 0.6))
