"""Compiled models."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .check_classes import bare_model


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile backbone and neck of a model by ``torch.compile``, as the training begins.

    MMEngine's own ``compile`` takes the whole training step, of whose data samples PyTorch's compiler makes
    errors.

    Args:
        **options: Those of ``torch.compile``.
    """

    def __init__(self, **options) -> None:
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile; the first steps of each size of image take long."""
        model = bare_model(runner.model)
        model.extract_feat = torch.compile(model.extract_feat, **self.options)
