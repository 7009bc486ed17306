"""F1 of borders."""

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS

pytest.importorskip('mmseg')

import rsmamba_mm.evaluation  # noqa: F401 - registers


def evaluate(truth, prediction, **options) -> dict:
    metric = METRICS.build(dict(type='BoundaryMetric', **options))
    metric.dataset_meta = dict(classes=('land', 'water', 'road'))
    maps = zip(truth, prediction, strict=True)
    samples = [
        dict(
            gt_sem_seg=dict(data=torch.from_numpy(t)[None]),
            pred_sem_seg=dict(data=torch.from_numpy(p)[None]),
        )
        for t, p in maps
    ]
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def shore(column: int, side: int = 40) -> np.ndarray:
    """Land, and water from a column on."""
    labels = np.zeros((side, side), np.int64)
    labels[:, column:] = 1
    return labels


@pytest.mark.parametrize(('shift', 'score'), [(0, 100), (3, 100), (4, 0)])
def test_borders_within_the_tolerance_are_right(shift, score):
    figures = evaluate([shore(20)], [shore(20 + shift)], tolerance=3)
    assert figures['BoundaryF1.land'] == figures['BoundaryF1.water'] == figures['mBoundaryF1'] == score
    assert np.isnan(figures['BoundaryF1.road'])


def test_precision_and_recall_are_of_all_images_together():
    # a second, invented shore in one image of two: all true borders are reached, two of three are right
    invented = shore(20)
    invented[:, 35:] = 0
    figures = evaluate([shore(20), shore(20)], [shore(20), invented])
    assert figures['BoundaryF1.water'] == pytest.approx(200 * (2 / 3) / (1 + 2 / 3), abs=0.01)


def test_missed_and_invented_classes_count_as_zero():
    figures = evaluate([shore(20)], [np.zeros((40, 40), np.int64)])
    assert figures['BoundaryF1.land'] == figures['BoundaryF1.water'] == 0


def test_ignored_pixels_make_no_border():
    truth, prediction = shore(20), shore(20)
    truth[:10] = 255
    prediction[:10] = 2
    figures = evaluate([truth], [prediction], exclude=['land'])
    assert figures['BoundaryF1.water'] == figures['mBoundaryF1'] == 100
    assert np.isnan(figures['BoundaryF1.road'])


def test_bad_options():
    with pytest.raises(ValueError, match='BoundaryMetric: tolerance must not be negative, got -1'):
        METRICS.build(dict(type='BoundaryMetric', tolerance=-1))
    with pytest.raises(ValueError, match='exclude names cloud, but the classes are land, water, road'):
        evaluate([shore(20)], [shore(20)], exclude=['cloud'])
