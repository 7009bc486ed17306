"""What a run of a segmenter leaves beside its log: tables and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..visualization import SegmentedImage, plot_overlays, write_land_cover_table
from ..visualization._figures import displayable
from .pictures import resized, resized_labels
from .report import ReportHook

SIDE = 512  # pixels of an image that a sheet has room for


@HOOKS.register_module()
class SegmentationReportHook(ReportHook):
    """After training, draw the learning curve; after a test, a sheet of images with truth, prediction and
    errors, and write a table of IoU and F1 of each class.

    They lie beside the log, in ``WORK_DIR/TIME``: ``learning_curve.png``, ``predictions.png`` and
    ``classes.csv``. The table needs :class:`rsmamba_mm.evaluation.LandCoverMetric`.

    Args:
        images (int): How many images to draw, chosen at random but always the same. Defaults to 6.

    Raises:
        ValueError: If ``images`` is not at least 1.
    """

    def __init__(self, images: int = 6) -> None:
        if images < 1:
            raise ValueError(f'SegmentationReportHook: images must be at least 1, got {images}')
        self.images = images

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the images, among those that this process tests."""
        own = np.arange(get_rank(), len(runner.test_dataloader.dataset), get_world_size())
        # not evenly: the order of a data set is often periodic, by class or by place
        chosen = np.random.default_rng(0).permutation(own)[: self.images]
        self._tested = iter(own.tolist())
        self._chosen = set(chosen.tolist())
        self._predicted: dict[int, tuple[np.ndarray, np.ndarray, str]] = {}

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Keep the chosen ones."""
        for sample in outputs or ():
            index = next(self._tested, None)
            if index in self._chosen and 'pred_sem_seg' in sample and 'gt_sem_seg' in sample:
                maps = (sample.get(key).data[0].cpu().numpy() for key in ('gt_sem_seg', 'pred_sem_seg'))
                self._predicted[index] = (*maps, Path(sample.get('img_path', f'{index}')).name)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the table and draw the sheet."""
        dataset = runner.test_dataloader.dataset
        meta = getattr(dataset, 'metainfo', {})
        if not is_main_process() or not {'classes', 'palette'} <= set(meta):
            return
        folder, classes = Path(runner.log_dir), meta['classes']
        if metrics and all(f'IoU.{name}' in metrics for name in classes):
            write_land_cover_table(metrics, classes, folder / 'classes.csv')
        if self._predicted:
            images = (reduced(dataset[i]['inputs'], *self._predicted[i]) for i in sorted(self._predicted))
            plot_overlays(images, classes, meta['palette'], folder / 'predictions.png')
        runner.logger.info('table of the classes and predictions: %s', folder)


def reduced(inputs, truth: np.ndarray, prediction: np.ndarray, name: str) -> SegmentedImage:
    """An image and its maps at a size to show."""
    scale = min(1, SIDE / max(truth.shape))
    size = tuple(max(1, round(side * scale)) for side in truth.shape[::-1])
    # the maps come at the size of the file, the image may be scaled already
    image = resized(displayable(inputs, bgr=True), size)
    return SegmentedImage(image, *(resized_labels(labels, size) for labels in (truth, prediction)), name)
