"""tools/export.py."""

import pytest
import torch


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


def test_wrong_suffix(call, scenes, tmp_path):
    out = tmp_path / 'model.bin'
    code, _, err = call('export.py', *scenes, out, '--for', 'onnx', '--work-dir', tmp_path / 'log')
    assert code == 2 and 'a file for onnx ends in .onnx, got model.bin' in err
