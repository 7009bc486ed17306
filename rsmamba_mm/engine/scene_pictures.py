"""Pictures of classified images: import needs mmpretrain."""

from __future__ import annotations

import numpy as np
from mmengine.registry import HOOKS
from mmpretrain.engine.hooks import VisualizationHook

from ..visualization import draw_scores
from .pictures import PictureHook, checked_interval


@HOOKS.register_module()
class SceneVisualizationHook(PictureHook, VisualizationHook):
    """mmpretrain's VisualizationHook for images of any bands: each beside its highest scores.

    With ``--show-dir`` of a test, mmpretrain's own as well, a picture ``NAME.png`` of every image. Pictures
    are drawn from the batch, as the test pipeline left the images, and in all processes.

    Args:
        enable (bool): Whether to draw at all. Defaults to False.
        interval (int): Draw every n-th image. Defaults to 5000.
        show (bool): Whether to show a window. Defaults to False.
        out_dir (str, optional): Folder for the pictures. Defaults to None, the visualiser's backends.
        wait_time (float): Seconds that a window stays; 0 until a key is pressed. Defaults to 0.
        topk (int): How many classes to show. Defaults to 5.
        bgr (bool): Whether the first three bands are blue, green, red. Defaults to True.

    Raises:
        ValueError: If ``interval`` or ``topk`` is not at least 1.
    """

    def __init__(
        self,
        enable: bool = False,
        interval: int = 5000,
        show: bool = False,
        out_dir: str | None = None,
        wait_time: float = 0.0,
        topk: int = 5,
        bgr: bool = True,
    ) -> None:
        if topk < 1:
            raise ValueError(f'SceneVisualizationHook: topk must be at least 1, got {topk}')
        checked_interval(interval, 'SceneVisualizationHook')
        super().__init__(enable=enable, interval=interval, show=show, out_dir=out_dir)
        self.wait_time, self.topk, self.bgr = wait_time, topk, bgr

    @property
    def drawing(self) -> bool:
        """Whether anything is drawn."""
        return self.enable

    def picture(self, image: np.ndarray, sample, meta: dict, name: str) -> np.ndarray:
        """The image beside its scores; the image alone where the model gives no scores."""
        if 'pred_score' not in sample:
            return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
        scores = sample.pred_score.float().cpu().numpy()
        classes = meta.get('classes') or [f'class {index}' for index in range(len(scores))]
        known = 'gt_label' in sample and sample.gt_label.numel() == 1
        label = int(sample.gt_label) if known else None
        return draw_scores(image, scores, classes, label, self.topk, name)
