"""Figures of the bench: as OpenMMLab defines them, and their intervals."""

import numpy as np
import pytest
import torch

from rsmamba_mm.apis.bench.scores import METRICS, confusions, score
from rsmamba_mm.apis.bench.statistics import difference, sample


@pytest.mark.parametrize('classes', [3, 5])
def test_scores_are_those_of_openmmlab(classes):
    from mmpretrain.evaluation import SingleLabelMetric

    truth, found = np.random.default_rng(0).integers(0, classes, (2, 200))
    counts = confusions(np.stack([truth, found], axis=1), classes).sum(0)
    precision, recall, f1, _ = SingleLabelMetric.calculate(
        torch.tensor(found), torch.tensor(truth), num_classes=classes
    )
    for metric, values in (('macro_precision', precision), ('macro_recall', recall), ('macro_f1', f1)):
        assert score(counts, metric) == pytest.approx(float(values), abs=1e-4)
    assert score(counts, 'accuracy') == pytest.approx(100 * np.mean(truth == found))


def test_scores_of_maps_leave_classes_out():
    metrics = pytest.importorskip('mmseg.evaluation')
    counts = np.array([[[50, 2, 0, 3], [5, 20, 0, 0], [4, 0, 0, 1], [0, 0, 0, 0]]])
    counted = np.array([True, True, True, False])
    total = torch.tensor(counts[0])
    by_class = metrics.IoUMetric.total_area_to_metrics(
        total.diagonal(), total.sum(0) + total.sum(1) - total.diagonal(), total.sum(0), total.sum(1),
        ['mIoU', 'mFscore'],
    )  # fmt: skip
    assert score(counts, 'miou', counted)[0] == pytest.approx(100 * by_class['IoU'][counted].mean())
    missed = np.nan_to_num(by_class['Fscore'], nan=0)  # of a class that is there and never found
    assert score(counts, 'mf1', counted)[0] == pytest.approx(100 * missed[counted].mean())
    assert score(counts, 'oa')[0] == pytest.approx(100 * by_class['aAcc'])
    alone = np.diag([1, 0, 0])
    assert all(score(alone, metric) == 100 for metric in METRICS)  # absent classes do not count


def test_intervals_cover_and_pairs_are_closer_than_each():
    generator = np.random.default_rng(0)
    right = generator.random(400) < 0.8
    truth = generator.integers(0, 2, 400)

    def model(right):
        counts = confusions(np.stack([truth, np.where(right, truth, 1 - truth)], axis=1), 2)
        return sample([counts], ['accuracy'])['accuracy']

    first = model(right)
    mean, low, high = first.estimate
    assert mean == pytest.approx(100 * right.mean())
    normal = 1.96 * 100 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert (mean - low, high - mean) == (pytest.approx(normal, rel=0.15), pytest.approx(normal, rel=0.15))
    better = right | (np.arange(400) % 10 == 0)  # 1 in 10 of the errors is mended
    gain, low, high = difference(model(better), first)
    assert gain == pytest.approx(100 * (better.mean() - right.mean())) and 0 < low < gain < high
    assert model(better).estimate.low < mean  # each alone, their intervals overlap
    assert difference(first, first) == (0, 0, 0)
