"""Averages of a classifier's scores."""

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmpretrain.structures import DataSample

from rsmamba_mm.models import AverageScoreTTA


def test_label_is_that_of_the_averaged_scores():
    views = [[0.5, 0.4, 0.1], [0.1, 0.5, 0.4], [0.4, 0.45, 0.15]]
    samples = [DataSample().set_pred_score(torch.tensor(s)).set_pred_label(max(range(3), key=s.__getitem__))
               for s in views]  # fmt: skip
    (merged,) = AverageScoreTTA.merge_preds(AverageScoreTTA.__new__(AverageScoreTTA), [samples])
    torch.testing.assert_close(merged.pred_score, torch.tensor([1.0, 1.35, 0.65]) / 3)
    assert merged.pred_label.tolist() == [1]
