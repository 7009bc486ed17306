"""Pictures of single images while a model is validated or tested: what classifiers and segmenters share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from ..visualization._figures import displayable, save_image
from ..visualization._names import unique_names


def image_names(dataset) -> dict[str, str]:
    """Path to name for each image of a data set; none where it does not list its images."""
    if not hasattr(dataset, 'get_data_info'):
        return {}
    paths = (dataset.get_data_info(index).get('img_path') for index in range(len(dataset)))
    return unique_names(path for path in paths if path is not None)


def name_of(sample, names: dict[str, str], index: int) -> str:
    """Name of a sample: of its file, or its number in the data set."""
    path = sample.get('img_path')
    return f'{index:06d}' if path is None else names.get(str(path)) or Path(path).stem


class PictureHook(Hook):
    """Draws images from the batches themselves: any number of bands and bits, drawn or read.

    OpenMMLab's hooks read files again as 8-bit colours (mmseg) or show BGR as RGB (mmpretrain), and their
    visualisers draw in the main process only. A subclass has the attributes ``interval``, ``show``,
    ``wait_time``, ``out_dir``, ``bgr`` and ``_visualizer``, and the two members below.
    """

    @property
    def drawing(self) -> bool:
        """Whether anything is drawn."""
        raise NotImplementedError

    def picture(self, image: np.ndarray, sample, meta: dict, name: str) -> np.ndarray:
        """The picture, uint8 RGB, of an image ``(H, W, 3 or 1)`` uint8 RGB and a sample with prediction."""
        raise NotImplementedError

    def before_val_epoch(self, runner: Runner) -> None:
        """Name the images."""
        self._begin(runner.val_dataloader.dataset)

    def before_test_epoch(self, runner: Runner) -> None:
        """Name the images."""
        self._begin(runner.test_dataloader.dataset)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw every n-th image; the step of the training is part of the name."""
        by_epoch = isinstance(runner._train_loop, EpochBasedTrainLoop)
        self._draw(data_batch, outputs, self.interval, runner.epoch if by_epoch else runner.iter)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw every n-th image."""
        self._draw(data_batch, outputs, self.interval, None)

    def _begin(self, dataset) -> None:
        self._names = image_names(dataset) if self.drawing else {}
        self._meta = getattr(dataset, 'metainfo', None) or {}
        # MMEngine deals images out to the processes one by one, and repeats some to come out even
        self._indices = iter(range(get_rank(), len(dataset), get_world_size()))

    def _draw(self, batch: dict, outputs, interval: int, step: int | None) -> None:
        if not self.drawing:
            return
        for place, sample in enumerate(outputs):
            index = next(self._indices, None)
            if index is not None and index % interval == 0:
                name = name_of(sample, self._names, index)
                image = displayable(batch_image(batch, place).cpu(), self.bgr)
                self._keep(name, self.picture(image, sample, self._meta, name), step)

    def _keep(self, name: str, picture: np.ndarray, step: int | None) -> None:
        if self.show:
            self._visualizer.show(picture, win_name=name, wait_time=self.wait_time)
        if self.out_dir is not None:
            suffix = '' if step is None else f'_{step}'
            save_image(picture, Path(self.out_dir, f'{name}{suffix}.png'))
        elif not self.show:
            # a backend on disk makes no folders
            self._visualizer.add_image(name.replace('/', '__'), picture, step or 0)


def batch_image(batch: dict[str, Any], place: int) -> Tensor:
    """Image ``(bands, H, W)`` number ``place`` of a batch; of several augmented ones, one not mirrored."""
    inputs = batch['inputs']
    if isinstance(inputs[0], Tensor) and inputs[0].ndim == 3:
        return inputs[place]
    views = zip(inputs, batch['data_samples'], strict=True)
    upright = (images for images, samples in views if not samples[place].get('flip'))
    return next(upright, inputs[0])[place]


def resized(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """``(H, W, 3 or 1)`` uint8 at another size (width, height)."""
    image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return image if image.ndim == 3 else image[..., None]


def resized_labels(labels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Classes ``(H, W)`` of a map at another size (width, height), int64."""
    # OpenCV knows no int64
    return cv2.resize(labels.astype(np.int16), size, interpolation=cv2.INTER_NEAREST).astype(np.int64)


def checked_interval(interval: int | None, hook: str) -> int | None:
    """An interval that is at least 1.

    Raises:
        ValueError: If it is not.
    """
    if interval is not None and interval < 1:
        raise ValueError(f'{hook}: interval must be at least 1, got {interval}')
    return interval
