"""The predictions of a segmenter as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..errors import OptionError
from ..visualization._figures import save_image
from .pictures import image_names, name_of


@HOOKS.register_module()
class LandCoverMapHook(Hook):
    """Write the prediction of each test image as ``NAME.png``, with the image's own name and size.

    Images with the same name in several folders keep their folders. The labels are those of the masks:
    where a data set has ``reduce_zero_label``, the classes begin at 1. mmseg's ``IoUMetric(output_dir=…)``
    lets images with the same name overwrite each other, and knows no colours.

    Args:
        out_dir (str): Folder for the files; made if it is not there.
        rgb (bool): Whether to write colours of the data set's palette, not labels. Defaults to False.
        from_zero (bool): Whether the first class is 0 whatever the masks have, as a test server asks.
            Defaults to False.

    Raises:
        OptionError: If colours are asked of a data set without a palette.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str, rgb: bool = False, from_zero: bool = False) -> None:
        self.out_dir, self.rgb, self.from_zero = Path(out_dir), rgb, from_zero

    def before_test_epoch(self, runner: Runner) -> None:
        """Name the images."""
        dataset = runner.test_dataloader.dataset
        palette = (getattr(dataset, 'metainfo', None) or {}).get('palette')
        if self.rgb and not palette:
            raise OptionError(
                f'coloured maps: {type(dataset).__name__} has no palette; give it one: '
                'test_dataloader.dataset.metainfo=dict(palette=[[R, G, B], …]), or leave --rgb out'
            )
        self._colours = np.asarray(palette, dtype=np.uint8) if self.rgb else None
        self._shifted = getattr(dataset, 'reduce_zero_label', False)
        self._names = image_names(dataset)
        self._index = get_rank()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Write the predictions of a batch."""
        for sample in outputs or ():
            labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
            if self.rgb:
                labels = self._colours[labels]
            elif not self.from_zero and sample.get('reduce_zero_label', self._shifted):
                labels = labels + 1
            save_image(labels, self.out_dir / f'{name_of(sample, self._names, self._index)}.png')
            self._index += get_world_size()

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Say where they lie."""
        if is_main_process():
            runner.logger.info('predictions of %d images: %s', len(self._names), self.out_dir)
