"""What is said of an image, and what of one that could not be read."""

from pathlib import Path

import numpy as np
import pytest

from rsmamba_mm.apis import LandCoverPrediction, ScenePrediction
from rsmamba_mm.errors import MissingDataError

CLASSES = ('Farmland', 'Forest')


def test_scores_are_named():
    scene = ScenePrediction(classes=CLASSES, scores=np.array([0.25, 0.75], np.float32))
    assert (scene.label, scene.score) == ('Forest', 0.75)
    assert scene.top(1) == [('Forest', 0.75)]


def test_labels_are_counted_and_coloured():
    labels = np.array([[0, 1], [1, 1]], np.uint8)
    cover = LandCoverPrediction(classes=CLASSES, labels=labels, palette=[[1, 2, 3], [4, 5, 6]])
    assert cover.shares == {'Farmland': 0.25, 'Forest': 0.75}
    assert cover.coloured[0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_printed_they_are_a_line():
    scene = ScenePrediction(classes=CLASSES, scores=np.array([0.25, 0.75], np.float32))
    assert repr(scene) == '<ScenePrediction of an array: Forest 0.750, Farmland 0.250>'
    labels = np.array([[0, 1, 1, 1]], np.uint8)
    cover = LandCoverPrediction(file=Path('a.png'), classes=('Water', *CLASSES, 'Road'), labels=labels)
    assert repr(cover) == '<LandCoverPrediction of a.png: Farmland 0.750, Water 0.250, Forest 0.000, …>'
    assert repr(ScenePrediction(error='x.png is broken')).endswith(': x.png is broken>')


@pytest.mark.parametrize(
    'ask',
    [
        lambda: ScenePrediction(error='x.png is broken').label,
        lambda: ScenePrediction(error='x.png is broken').score,
        lambda: ScenePrediction(error='x.png is broken').top(),
        lambda: LandCoverPrediction(error='x.png is broken').shares,
        lambda: LandCoverPrediction(error='x.png is broken').coloured,
    ],
)
def test_an_image_that_could_not_be_read_says_why(ask):
    with pytest.raises(MissingDataError, match=r'x\.png is broken'):
        ask()
