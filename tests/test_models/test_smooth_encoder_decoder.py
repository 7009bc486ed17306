import pytest
import torch
from mmengine.config import ConfigDict
from model_tester import REST, ModelTester

pytest.importorskip('mmseg.models')
from rsmamba_mm.models import SmoothEncoderDecoder


class TestSmoothEncoderDecoder(ModelTester):
    config = ConfigDict(
        type='SmoothEncoderDecoder',
        backbone=REST,
        neck=dict(type='MambaSegDecoder', in_channels=(8, 16, 32, 64), drop_path_rate=0),
        decode_head=dict(type='PixelHead', in_channels=8, num_classes=5),
        test_cfg=dict(mode='whole'),
    )
    sizes = [(64, 64)]  # mmseg resizes what a head gives of other sizes only where it predicts
    half_dtypes, half_error = [torch.bfloat16], 0.1  # as those of ResT
    refusals = [(dict(decode_haed=None), TypeError, "unexpected keyword argument 'decode_haed'")]

    def shapes(self, batch, size):
        return [(batch, 5, *size)]


class Windows(SmoothEncoderDecoder):
    """Predicts by a function of the window alone."""

    def __init__(self, function, crop, stride):
        torch.nn.Module.__init__(self)
        self.function, self.out_channels, self.seen = function, 2, []
        self.test_cfg = ConfigDict(mode='slide', crop_size=crop, stride=stride)

    def encode_decode(self, inputs, batch_img_metas):
        self.seen.append(tuple(inputs.shape[-2:]))
        assert batch_img_metas[0]['img_shape'] == self.seen[-1]
        return self.function(inputs)


@pytest.mark.parametrize('size', [(40, 50), (16, 16), (9, 33), (17, 16)])
def test_windows_cover_the_image_and_agree_where_they_should(size):
    torch.manual_seed(0)
    model = Windows(lambda x: torch.cat([x, -x], 1), crop=(16, 16), stride=(8, 11))
    x = torch.randn(2, 1, *size)
    logits = model.slide_inference(x, [{}, {}])
    torch.testing.assert_close(logits, torch.cat([x, -x], 1))  # a prediction by pixel knows no windows
    assert set(model.seen) == {(min(16, size[0]), min(16, size[1]))}


def test_no_seams():
    """Each window is wrong by a constant of its own: from pixel to pixel it must not jump."""
    offsets = iter(torch.arange(100.0))
    model = Windows(lambda x: x.new_zeros(1, 2, *x.shape[-2:]) + next(offsets), (32, 32), (16, 16))
    row = model.slide_inference(torch.zeros(1, 1, 32, 128), [{}])[0, 0, 10]
    assert row[0] == 0 and row[-1] > 5
    assert row.diff().max() < 0.12  # even averaging would jump by 1/2


def test_gaps_are_refused():
    model = Windows(lambda x: x, crop=(16, 16), stride=(16, 17))
    with pytest.raises(ValueError, match=r'stride \(16, 17\) leaves gaps between windows of \(16, 16\)'):
        model.slide_inference(torch.zeros(1, 1, 40, 40), [{}])
