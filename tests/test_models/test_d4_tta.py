import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData

pytest.importorskip('mmseg.models')
from mmseg.models import SegDataPreProcessor
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample

from rsmamba_mm.models.segmentors import D4SegTTAModel


class Network(EncoderDecoder):
    """Predicts by a function of the image alone."""

    def __init__(self, function):
        torch.nn.Module.__init__(self)
        self.function, self.out_channels, self.align_corners, self.shapes = function, 2, False, []
        self.test_cfg = ConfigDict(mode='whole')
        self.data_preprocessor = SegDataPreProcessor()

    def encode_decode(self, inputs, batch_img_metas):
        self.shapes.append(tuple(inputs.shape[-2:]))
        assert all(meta['img_shape'] == self.shapes[-1] for meta in batch_img_metas)
        return self.function(inputs)


def predict(model, *images):
    samples = []
    for image in images:
        shape = tuple(image.shape[-2:])
        sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, pad_shape=shape))
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.long))
        samples.append(sample)
    return model.test_step(dict(inputs=list(images), data_samples=samples))


def by_pixel(x):
    return torch.cat([x.mean(1, keepdim=True), -x.mean(1, keepdim=True)], 1)


def left_to_right(x):
    """Knows where it looks: not the same when turned."""
    ramp = torch.linspace(-1, 1, x.shape[-1]).expand(len(x), 1, *x.shape[-2:])
    return torch.cat([ramp, -ramp], 1)


def test_a_prediction_by_pixel_comes_back_to_its_place():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 12, 20)
    network = Network(by_pixel)
    predicted = predict(D4SegTTAModel(network), *images)
    assert sorted(set(network.shapes)) == [(12, 20), (20, 12)] and len(network.shapes) == 8
    for image, sample in zip(images, predicted, strict=True):
        torch.testing.assert_close(sample.seg_logits.data, by_pixel(image[None])[0])
        assert torch.equal(sample.pred_sem_seg.data[0], (image.mean(0) < 0).long())
        assert sample.gt_sem_seg.shape == (12, 20)


def test_eight_views_have_no_preference():
    (sample,) = predict(D4SegTTAModel(Network(left_to_right)), torch.zeros(3, 16, 16))
    torch.testing.assert_close(sample.seg_logits.data, torch.zeros(2, 16, 16), atol=1e-6, rtol=0)
    (sample,) = predict(
        D4SegTTAModel(Network(left_to_right), flips=('vertical',), rotations=(0,)), torch.zeros(3, 16, 16)
    )
    torch.testing.assert_close(sample.seg_logits.data, left_to_right(torch.zeros(1, 3, 16, 16))[0])


def test_scales():
    network = Network(by_pixel)
    model = D4SegTTAModel(network, scales=(0.5, 1, 1.5), flips=(), rotations=(0,))
    image = torch.linspace(-1, 1, 24).expand(3, 16, 24)
    (sample,) = predict(model, image)
    assert network.shapes == [(8, 12), (16, 24), (24, 36)]
    assert torch.equal(sample.pred_sem_seg.data[0], (image[0] < 0).long())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scales=(1, 0)), 'scales are positive numbers'),
        (dict(flips=('diagonal',)), 'flips are among horizontal, vertical'),
        (dict(rotations=(45,)), 'multiples of 90 degrees'),
        (dict(interpolation='nearest'), "interpolation is 'bicubic' or 'bilinear', got 'nearest'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        D4SegTTAModel(Network(by_pixel), **options)
