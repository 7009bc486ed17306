"""tools/export.py."""

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['scenes', 'land_cover'])
def test_export(call, request, tmp_path, kind):
    out = tmp_path / 'model.pt2'
    arguments = (*request.getfixturevalue(kind), out, '--for', 'torch', '--work-dir', tmp_path / 'log')
    code, said, err = call('export.py', *arguments, '--normalize', '--softmax')
    assert code == 0, err
    assert 'torch.export, largest difference / standard deviation' in said
    assert 'input: (batch, 3, ' in said
    size = 128 if kind == 'scenes' else 64
    shares = torch.export.load(out).module()(torch.rand(3, 3, size, size) * 255)
    torch.testing.assert_close(shares.sum(1), torch.ones_like(shares.sum(1)))


@pytest.mark.slow
def test_a_model_of_the_package_is_compared_on_images_that_are_named(call, tmp_path):
    for name, side in (('a.png', 90), ('b.png', 70)):
        noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    arguments = ('unetmamba-tiny_dubai', tmp_path / 'model.pt2', '--for', 'torch')
    arguments += ('--images', tmp_path / 'a.png', tmp_path / 'b.png')
    code, said, err = call('export.py', *arguments, '--size', 32, 32)
    assert code == 0, err
    assert 'input: (batch, 3, 32, 32) float32' in said
    code, _, err = call('export.py', *arguments, '--size', 64, 64)  # its pipeline halves images
    assert code == 2 and 'a.png is 45 x 45 px for the model: name a larger image' in err


def test_wrong_suffix(call, scenes, tmp_path):
    out = tmp_path / 'model.bin'
    code, _, err = call('export.py', *scenes, out, '--for', 'onnx', '--work-dir', tmp_path / 'log')
    assert code == 2 and 'a file for onnx ends in .onnx, got model.bin' in err
