"""What the scene classification data sets of this package share."""

from __future__ import annotations

import numpy as np
from mmengine.dataset import BaseDataset


class ClassificationDataset(BaseDataset):
    """MMEngine's data set with what mmpretrain's tools ask of one: each sample has a ``gt_label``."""

    @property
    def CLASSES(self) -> tuple[str, ...]:
        """Class names."""
        return self._metainfo['classes']

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Index of each class name."""
        return {name: index for index, name in enumerate(self.CLASSES)}

    def get_gt_labels(self) -> np.ndarray:
        """Labels (N,) of all images, int64."""
        return np.array([self.get_data_info(i)['gt_label'] for i in range(len(self))])

    def get_cat_ids(self, idx: int) -> list[int]:
        """Label of image ``idx``, as a list of one."""
        return [self.get_data_info(idx)['gt_label']]
