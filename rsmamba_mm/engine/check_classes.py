"""Checks before the first step: do checkpoint, head, mixing and data mean the same classes and bands?"""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from ..errors import OptionError
from ..models.class_order import (
    HEADS,
    checkpoint_classes,
    difference,
    drop_heads,
    refuse_other_classes,
    reorder_rows,
)


@HOOKS.register_module()
class CheckClassesHook(Hook):
    """Refuse to run a classifier or segmenter whose classes or bands are not those of its data.

    Without it, too many classes train in silence, too few end in an index error somewhere in an epoch.

    The rows of a classifier's head follow the names of the classes: a checkpoint that has the data set's
    classes in another order is reordered when it is loaded. One that has other classes is refused in a
    test; training starts from it without its head. A checkpoint without names is taken to have the order
    of the data set, which for UC Merced, AID and NWPU-RESISC45 is the one of the released checkpoints.

    Raises:
        OptionError: If ``num_classes`` of a head or of the preprocessor is not the number of classes of the
            data set, a teacher's classes are not the data set's, the preprocessor's mean has not one value
            for each input channel of the backbone, ``data_preprocessor`` beside the model differs from the
            one in it, or a checkpoint to test or to resume from has other classes.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Check the preprocessor: MMEngine ignores the one beside the model if there is one in it."""
        model = runner.cfg.get('model')
        beside = runner.cfg.get('data_preprocessor')
        if not isinstance(model, dict) or not beside:
            return
        inside = model.get('module', model).get('data_preprocessor')
        wrong = sorted(k for k in {**beside, **(inside or {})} if inside and inside.get(k) != beside.get(k))
        if wrong:
            said = ', '.join(f'{k} is {beside.get(k)} and {inside.get(k)}' for k in wrong)
            raise OptionError(
                'data_preprocessor beside the model and model.data_preprocessor differ, and the latter is '
                f'taken: {said}. Set both, or only model.data_preprocessor'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let the rows of the head follow the names of the classes."""
        loops = (runner._train_loop, runner._val_loop, runner._test_loop)
        loop = next((loop for loop in loops if isinstance(loop, BaseLoop)), None)
        theirs, ours = checkpoint_classes(checkpoint), _classes(getattr(loop, 'dataloader', None))
        if None in (theirs, ours) or theirs == ours:
            return
        state_dict = checkpoint.get('state_dict', checkpoint)
        if runner._resume:
            raise OptionError(
                f'the run to resume was of other classes, or of another order of them: '
                f'{difference(theirs, ours)}. Resume it with its own data, or start from it by load_from'
            )
        if set(theirs) == set(ours):
            found = reorder_rows(state_dict, bare_model(runner.model), theirs, ours)
            runner.logger.info('rows reordered to the classes of the data set: %s', ', '.join(found))
        elif loop is runner._train_loop:
            dropped = drop_heads(state_dict)
            runner.logger.info(
                'the checkpoint has other classes, so its head is left out (%s): %s',
                ', '.join(dropped), difference(theirs, ours),
            )  # fmt: skip
        else:
            refuse_other_classes(runner._load_from, theirs, ours)

    def before_train(self, runner: Runner) -> None:
        """Check the training data."""
        self._check(runner, runner.train_dataloader.dataset)
        theirs = getattr(bare_model(runner.model), 'teacher_classes', None)
        ours = _classes(runner.train_dataloader)
        if None not in (theirs, ours) and theirs != ours:
            raise OptionError(
                'the teacher was trained for other classes than the data set has, or for another order '
                f'of them: {difference(theirs, ours)}'
            )

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        self._check(runner, runner.test_dataloader.dataset)

    def _check(self, runner: Runner, dataset) -> None:
        model = bare_model(runner.model)
        preprocessor = getattr(model, 'data_preprocessor', None)
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        if classes is not None:
            modules = {f'model.{name}': getattr(model, name, None) for name in HEADS}
            modules['data_preprocessor'] = preprocessor
            counts = {f'{name}.num_classes': getattr(m, 'num_classes', None) for name, m in modules.items()}
            counts = {name: n for name, n in counts.items() if n is not None}
            wrong = {name: n for name, n in counts.items() if n != len(classes)}
            if wrong:
                said = ' and '.join(f'{name} is {n}' for name, n in wrong.items())
                options = ' '.join(f'{name}={len(classes)}' for name in counts)
                kind = type(getattr(dataset, 'dataset', dataset)).__name__
                raise OptionError(
                    f'{said}, but {kind} has {len(classes)} classes '
                    f'({", ".join(classes[:3])}, …). Set them in the config, or: --cfg-options {options}'
                )
        channels = input_channels(getattr(model, 'backbone', None))
        mean = getattr(preprocessor, 'mean', None)
        if None not in (channels, mean) and len(mean) not in (1, channels):
            raise OptionError(
                f'data_preprocessor.mean has {len(mean)} values, but the backbone takes {channels} bands: '
                'give mean and std one value for each band, and the backbone in_channels='
                f'{len(mean)} if the images have as many'
            )


def bare_model(model: nn.Module) -> nn.Module:
    """A model without the wrappers of distributed training and of test-time augmentation."""
    model = model.module if is_model_wrapper(model) else model
    return getattr(model, 'module', model)


def _classes(dataloader) -> tuple[str, ...] | None:
    classes = (getattr(getattr(dataloader, 'dataset', None), 'metainfo', None) or {}).get('classes')
    return tuple(classes) if classes else None


def input_channels(backbone: nn.Module | None) -> int | None:
    """Input channels of a backbone's first convolution."""
    convolutions = (m for m in backbone.modules() if isinstance(m, nn.Conv2d)) if backbone else iter(())
    first = next(convolutions, None)
    return None if first is None else first.in_channels
