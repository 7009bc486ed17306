"""Pictures of segmented images: import needs mmsegmentation."""

from __future__ import annotations

import numpy as np
from mmengine.registry import HOOKS
from mmseg.engine.hooks import SegVisualizationHook

from ..visualization import draw_land_cover
from ..visualization.segmentation import spread_palette
from .pictures import PictureHook, checked_interval, resized, resized_labels


@HOOKS.register_module()
class LandCoverVisualizationHook(PictureHook, SegVisualizationHook):
    """mmseg's SegVisualizationHook for images of any bands, drawn or read: image, truth and prediction.

    With ``--show-dir`` of a test, mmseg's own as well, a picture of every image. They are drawn from the
    batch at the size of the prediction, and in all processes where ``out_dir`` is given.

    Args:
        draw (bool): Whether to draw at all. Defaults to False.
        interval (int, optional): Draw every n-th image. Defaults to None: every 50th in a validation, all
            in a test.
        show (bool): Whether to show a window. Defaults to False.
        wait_time (float): Seconds that a window stays; 0 until a key is pressed. Defaults to 0.
        backend_args (dict, optional): Taken as mmseg's, and not needed. Defaults to None.
        out_dir (str, optional): Folder for the pictures. Defaults to None, the visualiser's backends.
        opacity (float): Of the classes over the image, from 0 to 1. Defaults to 0.6.
        bgr (bool): Whether the first three bands are blue, green, red. Defaults to True.

    Raises:
        ValueError: If ``interval`` is not at least 1, or ``opacity`` not from 0 to 1.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int | None = None,
        show: bool = False,
        wait_time: float = 0.0,
        backend_args: dict | None = None,
        out_dir: str | None = None,
        opacity: float = 0.6,
        bgr: bool = True,
    ) -> None:
        if not 0 <= opacity <= 1:
            raise ValueError(f'LandCoverVisualizationHook: opacity is from 0 to 1, got {opacity}')
        self.test_interval = checked_interval(interval, 'LandCoverVisualizationHook') or 1
        super().__init__(draw, interval or 50, show, wait_time, backend_args)
        self.out_dir, self.opacity, self.bgr = out_dir, opacity, bgr

    @property
    def drawing(self) -> bool:
        """Whether anything is drawn."""
        return self.draw

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw every n-th image."""
        self._draw(data_batch, outputs, self.test_interval, None)

    def picture(self, image: np.ndarray, sample, meta: dict, name: str) -> np.ndarray:
        """The image beside its prediction, and its truth if it has one."""
        prediction = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.int64)
        size = prediction.shape[::-1]
        if image.shape[1::-1] != size:
            # the prediction comes at the size of the file, the image may be scaled already
            image = resized(image, size)
        truth = None
        if 'gt_sem_seg' in sample:
            truth = resized_labels(sample.gt_sem_seg.data[0].cpu().numpy(), size)
        classes = meta.get('classes') or [f'class {index}' for index in range(prediction.max() + 1)]
        palette = meta.get('palette') or spread_palette(len(classes))
        return draw_land_cover(image, prediction, classes, palette, truth, self.opacity)
