import numpy as np
import pytest
import torch

pytest.importorskip('mmseg.evaluation')
from rsmamba_mm.evaluation import LandCoverMetric

CLASSES = ('building', 'tree', 'clutter')
TRUTH = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 255]])
PREDICTED = torch.tensor([[0, 0, 1, 1], [1, 2, 2, 0]])


def evaluate(**options) -> dict:
    metric = LandCoverMetric(**options)
    metric.dataset_meta = dict(classes=CLASSES)
    for row in range(2):  # an image each
        sample = {
            'pred_sem_seg': dict(data=PREDICTED[None, row : row + 1]),
            'gt_sem_seg': dict(data=TRUTH[None, row : row + 1]),
        }
        metric.process({}, [sample])
    return metric.evaluate(2)


def test_clutter_counts_in_the_accuracy_alone():
    iou = np.array([2 / 3, 2 / 4, 1 / 2])
    f1 = 2 * iou / (1 + iou)
    figures = evaluate(exclude=['clutter'])
    assert figures['aAcc'] == pytest.approx(100 * 5 / 7, abs=0.01)
    assert figures['mIoU'] == pytest.approx(100 * iou[:2].mean(), abs=0.01)
    assert figures['mFscore'] == pytest.approx(100 * f1[:2].mean(), abs=0.01)
    assert figures['IoU.clutter'] == 50 and figures['Fscore.building'] == 80
    everything = evaluate()
    assert everything['mIoU'] == pytest.approx(100 * iou.mean(), abs=0.01)
    assert everything['aAcc'] == figures['aAcc']


def test_a_class_that_is_never_found_counts_as_nothing(monkeypatch):
    monkeypatch.setattr(f'{__name__}.PREDICTED', torch.zeros_like(TRUTH))  # all is building
    figures = evaluate()
    assert figures['IoU.tree'] == figures['Fscore.tree'] == figures['Fscore.clutter'] == 0
    assert figures['mFscore'] == pytest.approx(figures['Fscore.building'] / 3, abs=0.01)
    assert figures['mPrecision'] == pytest.approx(100 * 3 / 7 / 3, abs=0.01)
    monkeypatch.setattr(f'{__name__}.TRUTH', torch.tensor([[0, 0, 0, 1], [1, 1, 1, 255]]))
    assert evaluate()['mFscore'] == pytest.approx(
        figures['Fscore.building'] / 2, abs=0.01
    )  # no clutter at all


def test_an_unknown_class_is_refused_before_any_image():
    metric = LandCoverMetric(exclude=['cluter'])
    with pytest.raises(
        ValueError, match='exclude names cluter, but the classes are building, tree, clutter'
    ):
        metric.dataset_meta = dict(classes=CLASSES)
