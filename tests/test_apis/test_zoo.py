"""The models that the package carries, on real images, as someone who has just installed it calls them."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.runner import CheckpointLoader
from safetensors import safe_open

from rsmamba_mm.apis import LandCoverSegmenter, SceneClassifier, load_pretrained, zoo_models
from rsmamba_mm.apis.preflight import existing
from rsmamba_mm.errors import MissingDataError, OptionError
from rsmamba_mm.zoo import ZOO

IMAGES = Path(__file__).parents[2] / 'docs' / 'images'
SCENES = sorted(path for path in IMAGES.glob('*.jpg') if path.stem != 'dubai')
on_images = pytest.mark.skipif(not SCENES, reason='needs a source tree')


def test_they_are_small_and_told_of():
    assert zoo_models() == ['rsmamba-t_ucmerced', 'unetmamba-tiny_dubai']
    assert sum(path.stat().st_size for path in ZOO.rglob('*') if path.is_file()) < 8_000_000
    for name in zoo_models():
        card = (ZOO / name / 'README.md').read_text(encoding='utf-8')
        assert 'license: ' in card and 'Trained by: `' in card and 'Not measured' not in card
        assert '/' not in card.split('Trained by: `')[1].split()[1].removeprefix('tools/')
        with safe_open(ZOO / name / 'model.safetensors', 'pt') as weights:
            kinds = {
                weights.get_slice(key).get_dtype()
                for key in weights.keys()  # noqa: SIM118
                if '.running_' not in key
            }
        assert kinds <= {'F16', 'I64'}


@on_images
def test_scenes_of_the_test_part_are_named():
    predictions = SceneClassifier('rsmamba-t_ucmerced', device='cpu')(SCENES, batch_size=4)
    labels = [path.stem.rstrip('0123456789') for path in SCENES]
    assert [prediction.label for prediction in predictions] == labels
    assert all(np.isclose(prediction.scores.sum(), 1, atol=1e-5) for prediction in predictions)


@on_images
def test_folders_are_looked_through(tmp_path):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    for image, name in zip(SCENES, ('1.jpg', 'a/2.JPG', 'a/b/3.jpeg'), strict=False):
        shutil.copy(image, tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no image')
    found = SceneClassifier('rsmamba-t_ucmerced', device='cpu')(tmp_path, batch_size=2)
    assert [prediction.file.name for prediction in found] == ['1.jpg', '2.JPG', '3.jpeg']
    assert found[0].label == SCENES[0].stem.rstrip('0123456789')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(MissingDataError, match=r'no images in .*empty'):
        SceneClassifier('rsmamba-t_ucmerced', device='cpu')(tmp_path / 'empty')


def test_their_weights_are_a_checkpoint_by_name():
    address = 'rsmamba_mm://rsmamba-t_ucmerced'
    content = CheckpointLoader.load_checkpoint(existing(address, 'checkpoint'), map_location='cpu')
    assert content['meta']['dataset_meta']['classes'][0] == 'harbor'
    assert 'backbone.gate_layers.0.0.weight' in content['state_dict']
    for ask in (lambda path: existing(path, 'checkpoint'), CheckpointLoader.load_checkpoint):
        with pytest.raises(OptionError, match=r'no model of the package.*did you mean rsmamba-t_ucmerced'):
            ask('rsmamba_mm://rsmamba-t_ucmercd')


@on_images
def test_land_cover_of_the_test_tile_is_mapped():
    cover = LandCoverSegmenter('unetmamba-tiny_dubai', device='cpu')(IMAGES / 'dubai.jpg')
    assert cover.labels.shape == cover.image.shape[:2] == (900, 900)
    shares = cover.shares
    # land lies around a quarter of houses with roads, trees and a pond
    assert (
        max(shares, key=shares.get) == 'land' and min(shares[name] for name in ('building', 'road')) > 0.02
    )


@pytest.mark.slow
@on_images
def test_another_package_takes_one_in_a_fresh_process():
    script = """
import sys
from mmpretrain import ImageClassificationInferencer
from rsmamba_mm.apis import load_pretrained
infer = ImageClassificationInferencer(load_pretrained('rsmamba-t_ucmerced'), device='cpu')
print('class:', infer(sys.argv[1])[0]['pred_class'])
"""
    command = [sys.executable, '-c', script, str(IMAGES / 'harbor00.jpg')]
    done = subprocess.run(command, capture_output=True, text=True)
    assert 'class: harbor' in done.stdout, done.stderr[-2000:]


def test_they_load_as_modules():
    for name in zoo_models():
        model = load_pretrained(name)
        assert not model.training and model.dataset_meta['classes']
