"""Where a trained model is most wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import OptionError


@dataclass
class JudgedImage:
    """A test image and how right a model was.

    Attributes:
        index (int): Its place in the data set.
        path (str): Its file, or its place where there is none.
        score (float): From 0 to 1: of a scene the score of the true class, of a map the share of pixels
            that are right.
        truth, prediction (int | np.ndarray): Classes: of a scene one, of a map ``(H, W)``.
        scores (np.ndarray, optional): Of a scene, ``(C,)`` those of all classes.
    """

    index: int
    path: str
    score: float
    truth: Any
    prediction: Any
    scores: np.ndarray | None = None


def judge_images(model: Any, batches: Iterable, ignore_index: int = 255) -> Iterator[JudgedImage]:
    """Predict test images, and say of each how right that was.

    Args:
        model (nn.Module): A classifier or segmenter of OpenMMLab's, in evaluation mode.
        batches (Iterable): What its ``test_step`` takes, such as a test loader of MMEngine.
        ignore_index (int): Value of a mask's pixels that do not count. Defaults to 255.

    Yields:
        JudgedImage: Of each in its turn; masks without a pixel that counts are left out.

    Raises:
        OptionError: If an image has neither a mask nor one true class.
    """
    index = 0
    for batch in batches:
        with torch.no_grad():
            samples = model.test_step(batch)
        yield from judge_samples(samples, ignore_index, index)
        index += len(samples)


def judge_samples(samples: Sequence[Any], ignore_index: int = 255, start: int = 0) -> Iterator[JudgedImage]:
    """Say of predicted test images how right that was.

    Args:
        samples (Sequence): Data samples of OpenMMLab's, what a model's ``test_step`` returns.
        ignore_index (int): Value of a mask's pixels that do not count. Defaults to 255.
        start (int): Place of the first in the data set. Defaults to 0.

    Yields:
        JudgedImage: As :func:`judge_images`.

    Raises:
        OptionError: As :func:`judge_images`.
    """
    for index, sample in enumerate(samples, start):
        path = str(sample.get('img_path') or index)
        if 'gt_sem_seg' in sample and 'pred_sem_seg' in sample:
            truth, found = (sample.get(k).data[0].cpu().numpy() for k in ('gt_sem_seg', 'pred_sem_seg'))
            valid = truth != ignore_index
            if valid.any():
                yield JudgedImage(index, path, float((truth == found)[valid].mean()), truth, found)
        elif 'gt_label' in sample and sample.gt_label.numel() == 1 and 'pred_score' in sample:
            scores, label = sample.pred_score.float().cpu().numpy(), int(sample.gt_label)
            yield JudgedImage(index, path, float(scores[label]), label, int(scores.argmax()), scores)
        else:
            raise OptionError(
                f'{path}: neither a mask nor one true class to compare with: the steps of the test '
                'pipeline have to load it'
            )
