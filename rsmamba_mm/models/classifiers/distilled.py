"""A classifier that learns from another one: import needs mmpretrain."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import OptionError
from ...layers.options import check_numbers
from ..class_order import checkpoint_classes
from ..released.files import verify_tensors


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    """Classifier that also learns what a trained one, its teacher, says of each image
    (Hinton et al., 2015, arXiv:1503.02531, Sec. 2).

    To the loss of the head it adds ``teacher_weight · T² · KL(teacher ‖ student)`` of the classes'
    probabilities at the temperature T, of the same augmented images. The teacher is not trained, and in no
    checkpoint: those of the student are of a plain ``ImageClassifier``.

    Args:
        teacher (dict): Model config of the teacher. Its ``init_cfg`` names the checkpoint:
            ``dict(type='Pretrained', checkpoint=FILE)``.
        teacher_weight (float): Weight of what the teacher says. Defaults to 1.
        temperature (float): T, above 0. Defaults to 2.
        **kwargs: Those of mmpretrain's ``ImageClassifier``: ``backbone``, ``neck``, ``head``,
            ``train_cfg``, ``data_preprocessor``, ``init_cfg``.

    Raises:
        OptionError: If the teacher names no checkpoint, is of other classes, or takes images of another
            mean, deviation or order of channels.
        ValueError: If the weight is negative, or the temperature not positive.
    """

    def __init__(
        self, *, teacher: dict, teacher_weight: float = 1.0, temperature: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_numbers('DistilledClassifier', teacher_weight=teacher_weight)
        if not 0 < temperature < float('inf'):
            raise ValueError(f'DistilledClassifier: temperature must be positive, got {temperature}')
        self.teacher_weight, self.temperature = teacher_weight, temperature
        teacher = dict(teacher)
        start = teacher.get('init_cfg')
        if not (isinstance(start, dict) and start.get('type') == 'Pretrained' and start.get('checkpoint')):
            raise OptionError(
                'DistilledClassifier: the teacher has to be a trained one: give '
                "teacher.init_cfg=dict(type='Pretrained', checkpoint=FILE)"
            )
        self.teacher_checkpoint: str = start['checkpoint']
        self._check_images(teacher.pop('data_preprocessor', None), kwargs.get('data_preprocessor'))
        model = MODELS.build(dict(teacher, init_cfg=None))
        ours, theirs = (getattr(each.head, 'num_classes', None) for each in (self, model))
        if ours != theirs:
            raise OptionError(
                f'DistilledClassifier: head.num_classes is {ours}, and {theirs} of the teacher: both have '
                'to tell the same classes apart'
            )
        #: the teacher, in a tuple: no part of this model's parameters, state and modes
        self.teacher: tuple[nn.Module] = (model.eval().requires_grad_(False),)
        #: classes of the teacher in the order of its scores, where its checkpoint names them
        self.teacher_classes: tuple[str, ...] | None = None

    @staticmethod
    def _check_images(theirs: Any, ours: Any) -> None:
        """Refuse a teacher that was trained on images of another scale, where both are known."""
        if not isinstance(theirs, dict) or not isinstance(ours, dict):
            return
        for name in ('mean', 'std', 'to_rgb'):
            if theirs.get(name) != ours.get(name):
                raise OptionError(
                    f'DistilledClassifier: data_preprocessor.{name} is {ours.get(name)}, and '
                    f'{theirs.get(name)} of the teacher, which sees the same images: take that for both'
                )

    def init_weights(self) -> None:
        """Begin with the student's weights as its config says, and with the teacher's from its checkpoint.

        Raises:
            OptionError: If that is not of the teacher's config.
        """
        super().init_weights()
        checkpoint = CheckpointLoader.load_checkpoint(self.teacher_checkpoint, map_location='cpu')
        tensors = checkpoint.get('state_dict', checkpoint)
        try:
            verify_tensors(tensors, self.teacher[0])
        except OptionError as error:
            raise OptionError(f'{self.teacher_checkpoint} is not of the teacher: {error}') from error
        self.teacher[0].load_state_dict(tensors)
        self.teacher_classes = checkpoint_classes(checkpoint)

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """The head's losses, and ``loss_teacher``.

        Args:
            inputs (Tensor): Images as the preprocessor gives them, ``(B, C, H, W)``.
            data_samples (list[DataSample]): Labels, or scores where images are mixed.
        """
        features = self.extract_feat(inputs)
        losses = self.head.loss(features, data_samples)
        teacher = self.teacher[0].to(inputs.device)
        with torch.no_grad():
            theirs = teacher(inputs).float()
        ours = self.head(features).float()
        divergence = F.kl_div(
            (ours / self.temperature).log_softmax(1),
            (theirs / self.temperature).log_softmax(1),
            reduction='batchmean',
            log_target=True,
        )
        losses['loss_teacher'] = self.teacher_weight * self.temperature**2 * divergence
        return losses
