import subprocess
import sys

import cv2
import pytest
from commands import call

PICTURES = ('learning_curve.png', 'confusion_matrix.png', 'predictions.png')


def demo(root, *args):
    return subprocess.run(
        [sys.executable, root / 'tools' / 'demo.py', *map(str, args)],
        capture_output=True,
        text=True,
        cwd=root,
    )


@pytest.mark.slow
@pytest.mark.smoke
def test_demo_on_a_folder(root, scene_folder, tmp_path):
    result = demo(root, '--data', scene_folder, '--work-dir', tmp_path, '--epochs', 2)
    assert result.returncode == 0, result.stdout + result.stderr
    assert '3 classes, 6 test images' in result.stdout
    assert 'nearest mean colour' in result.stdout
    work_dir = tmp_path / 'classification'
    for name in PICTURES:
        height, width, _ = cv2.imread(str(work_dir / name)).shape
        assert height > 300 and width > 300
        assert str(work_dir / name) in result.stdout
    names = {
        split: {line.split()[0] for line in (work_dir / 'split' / f'{split}.txt').open()}
        for split in ('train', 'val')
    }
    assert [len(part) for part in names.values()] == [24, 6]
    assert len(set.union(*names.values())) == 30


def test_demo_says_what_the_folder_should_be(tmp_path):
    (tmp_path / 'Images').mkdir()
    result = call('demo.py', '--data', tmp_path, '--work-dir', tmp_path / 'out')
    assert result.returncode != 0
    assert 'one subfolder for each class' in result.stderr
    assert 'did you mean' in result.stderr
    result = call('demo.py', '--data', tmp_path / 'none', '--work-dir', tmp_path / 'out')
    assert 'data folder not found' in result.stderr
    result = call('demo.py', '--data', tmp_path, '--task', 'segmentation')
    assert 'a segmenter needs masks' in result.stderr
