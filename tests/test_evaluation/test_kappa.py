import pytest
import torch
from mmengine.evaluator import Evaluator

from rsmamba_mm.evaluation import CohenKappa
from rsmamba_mm.evaluation.kappa import kappa


def sample(label, predicted, classes=3):
    return dict(
        gt_label=torch.tensor([label]),
        pred_score=torch.eye(classes)[predicted],
        pred_label=torch.tensor([0]),
    )


def test_worked_example():
    # 20 and 15 agreements of 50: p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5
    assert kappa(torch.tensor([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_extremes():
    assert kappa(torch.diag(torch.tensor([3, 4, 5]))) == 1
    assert kappa(torch.ones(4, 4)) == pytest.approx(0)
    assert kappa(torch.tensor([[0, 5], [5, 0]])) == -1
    assert kappa(torch.tensor([[7]])) == 0
    assert kappa(torch.zeros(2, 2)) == 0


def test_as_a_metric():
    evaluator = Evaluator(CohenKappa())
    pairs = [(0, 0)] * 20 + [(0, 1)] * 5 + [(1, 0)] * 10 + [(1, 1)] * 15
    for start in range(0, 50, 16):  # batches of uneven size
        evaluator.process([sample(*pair) for pair in pairs[start : start + 16]])
    assert evaluator.evaluate(50) == {'single-label/kappa': pytest.approx(40)}
