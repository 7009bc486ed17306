"""SceneClassifier and LandCoverSegmenter: files, arrays, batches and generators."""

import cv2
import numpy as np
import pytest

from rsmamba_mm.apis import LandCoverPrediction, LandCoverSegmenter, SceneClassifier, ScenePrediction
from rsmamba_mm.errors import MissingDataError, OptionError


@pytest.fixture
def images(tmp_path, picture) -> list:
    """Three files."""
    arrays = [
        np.ascontiguousarray(picture[::-1, :100, left : left + 100].transpose(1, 2, 0))
        for left in (0, 50, 100)
    ]
    for number, array in enumerate(arrays):
        cv2.imwrite(str(tmp_path / f'{number}.png'), array)
    return [(tmp_path / f'{number}.png', array) for number, array in enumerate(arrays)]


@pytest.mark.parametrize('kind', ['classifier', 'segmenter'])
def test_files_arrays_batches_and_generators(kind, images, request):
    if kind == 'segmenter':
        pytest.importorskip('mmseg.models')
    model = request.getfixturevalue(kind)
    expected = LandCoverPrediction if kind == 'segmenter' else ScenePrediction
    files, arrays = zip(*images, strict=True)
    values = 'labels' if kind == 'segmenter' else 'scores'

    one = model(files[0])
    assert isinstance(one, expected) and one.file == files[0] and list(one.classes) == model.classes
    whole = [getattr(prediction, values) for prediction in model(files, batch_size=2)]
    for several in (
        list(map(str, files)),
        arrays,
        np.stack(arrays),
        (array for array in arrays),
        [files[0], *arrays[1:]],
    ):
        for prediction, other in zip(model(several), whole, strict=True):
            assert np.allclose(getattr(prediction, values), other, atol=1e-5)
    assert model(arrays[0]).file is None
    lazy = model.predict(iter(files))
    assert np.allclose(getattr(next(lazy), values), whole[0], atol=1e-5)


def test_what_is_refused(classifier, scene_files, images, tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'x')
    with pytest.raises(MissingDataError, match=r'broken\.png cannot be read'):
        classifier([images[0][0], tmp_path / 'broken.png'])
    with pytest.raises(OptionError, match='batch_size must be at least 1, got 0'):
        classifier(images[0][0], batch_size=0)
    with pytest.raises(
        OptionError, match=r'scenes\.py is not for LandCoverSegmenter: take SceneClassifier'
    ):
        LandCoverSegmenter(*scene_files, device='cpu')
    with pytest.raises(OptionError, match="half: float16 or bfloat16, got 'int8'"):
        SceneClassifier(*scene_files, device='cpu', half='int8')


def test_half_precision_and_augmentation(segmenter, land_cover_files, images):
    pytest.importorskip('mmseg.models')
    array = images[0][1][:64, :64]
    logits = segmenter.logits([array, array])
    assert logits.shape == (2, 8, 64, 64) and logits.device.type == 'cpu'
    half = LandCoverSegmenter(*land_cover_files, device='cpu', half='bfloat16').logits([array])
    assert half.dtype == logits.dtype and not (half == logits[:1]).all()
    assert (half.argmax(1) == logits[:1].argmax(1)).float().mean() > 0.5
    augmented = segmenter.logits([array], tta=True)
    turned = segmenter.logits([np.ascontiguousarray(np.rot90(array))], tta=True)
    assert np.allclose(augmented[0].rot90(1, (1, 2)), turned[0], atol=1e-4)


def test_what_a_model_takes(classifier, segmenter):
    takes = segmenter.takes()
    assert (takes.channels, takes.colour, takes.reverse, takes.bands) == (3, True, True, None)
    assert takes.mean == pytest.approx((118.3, 116.6, 100.1)) and takes.fill == takes.mean
    assert classifier.takes().channels == 3
