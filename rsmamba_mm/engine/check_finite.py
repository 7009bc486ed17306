"""Training that stops at the first loss that is not finite, and says where that began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..errors import TrainingError
from .check_classes import bare_model


@HOOKS.register_module()
class CheckFiniteHook(Hook):
    """End a training whose loss is not finite, before it reaches the weights, and name what began it.

    That is the batch, the weights as they were, or the first module to give a value that is not finite,
    found by a second forward pass of the batch. Looking at a loss waits for the GPU once an iteration.

    Raises:
        TrainingError: In the iteration of such a loss.
    """

    priority = 'VERY_LOW'

    def before_train(self, runner: Runner) -> None:
        """Look at the losses from here on."""
        self.runner = runner
        self.handle = bare_model(runner.model).register_forward_hook(self.look, with_kwargs=True)

    def after_train(self, runner: Runner) -> None:
        """Look no more."""
        self.handle.remove()

    def look(self, model: nn.Module, args: tuple, kwargs: dict, losses: Any) -> None:
        """See whether the losses of a forward pass are finite."""
        if not model.training or not isinstance(losses, Mapping):
            return
        wrong = [name for name, value in losses.items() if not _finite(value)]
        if wrong:
            self.handle.remove()
            raise TrainingError(
                f'iteration {self.runner.iter + 1}: {", ".join(wrong)} is not finite. '
                f'{first_not_finite(model, args, kwargs)}'
            )


def first_not_finite(model: nn.Module, args: tuple, kwargs: dict) -> str:
    """Where values that are not finite begin in a forward pass, in words.

    Args:
        model (nn.Module): The model.
        args (tuple): What it is given.
        kwargs (dict): By name.
    """
    given = [*args, *kwargs.values()]
    if not _finite(given):
        return 'The images of this batch have such values: tools/check_dataset.py names them.'
    weights = [name for name, p in model.named_parameters() if not _finite(p)]
    if weights:
        return (
            f'The weights {", ".join(weights[:3])} have such values already: the step before was too long; '
            'lower the learning rate, or clip gradients (optim_wrapper.clip_grad).'
        )
    found: list[str] = []

    def listen(name: str, module: nn.Module) -> Any:
        def hook(module: nn.Module, inputs: tuple, outputs: Any) -> None:
            if not found and not _finite(outputs):
                first = next(iter(_tensors(outputs)))
                largest = max(
                    (float(t.float().abs().max()) for t in _tensors(inputs) if t.numel()), default=0
                )
                found.append(
                    f'They begin in {name} ({type(module).__name__}), in {str(first.dtype)[6:]}, of inputs '
                    f'up to {largest:.3g}.'
                )

        return module.register_forward_hook(hook)

    handles = [listen(name, module) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    half = torch.is_autocast_enabled('cuda') or torch.is_autocast_enabled('cpu')
    advice = ' Train in bfloat16 or float32, or with a lower learning rate.' if half else ''
    return (found[0] if found else 'They begin in the loss itself, or do not come twice.') + advice


def _finite(value: Any) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors of floating point in nested lists and dicts."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
