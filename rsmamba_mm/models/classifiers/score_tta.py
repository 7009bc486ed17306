"""Classification of an image in several views: import needs mmpretrain."""

from __future__ import annotations

from mmengine.registry import MODELS
from mmpretrain.models.tta import AverageClsScoreTTA
from mmpretrain.structures import DataSample


@MODELS.register_module()
class AverageScoreTTA(AverageClsScoreTTA):
    """Average of a classifier's scores over views: ``tta_model=dict(type='AverageScoreTTA')``.

    As mmpretrain's ``AverageClsScoreTTA``, which keeps the label of the first view; here it is that of the
    averaged scores.
    """

    def _merge_single_sample(self, data_samples: list[DataSample]) -> DataSample:
        merged = super()._merge_single_sample(data_samples)
        return merged.set_pred_label(merged.pred_score.argmax(dim=0, keepdim=True).detach())
