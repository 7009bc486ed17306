"""A check before the first step: do head, mixing and data mean the same classes and bands?"""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from ..errors import OptionError

HEADS = ('head', 'decode_head', 'auxiliary_head')


@HOOKS.register_module()
class CheckClassesHook(Hook):
    """Refuse to run a classifier or segmenter whose classes or bands are not those of its data.

    Without it, too many classes train in silence, too few end in an index error somewhere in an epoch.

    Raises:
        OptionError: If ``num_classes`` of a head or of the preprocessor is not the number of classes of the
            data set, or the preprocessor's mean has not one value for each input channel of the backbone.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check the training data."""
        self._check(runner, runner.train_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        self._check(runner, runner.test_dataloader.dataset)

    def _check(self, runner: Runner, dataset) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model = getattr(model, 'module', model)  # of a model for test-time augmentation
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
                raise OptionError(
                    f'{said}, but {type(dataset).__name__} has {len(classes)} classes '
                    f'({", ".join(classes[:3])}, …). Set them in the config, or: --cfg-options {options}'
                )
        channels = _input_channels(getattr(model, 'backbone', None))
        mean = getattr(preprocessor, 'mean', None)
        if None not in (channels, mean) and len(mean) not in (1, channels):
            raise OptionError(
                f'data_preprocessor.mean has {len(mean)} values, but the backbone takes {channels} bands: '
                'give mean and std one value for each band, and the backbone in_channels='
                f'{len(mean)} if the images have as many'
            )


def _input_channels(backbone: nn.Module | None) -> int | None:
    """Input channels of a backbone's first convolution."""
    convolutions = (m for m in backbone.modules() if isinstance(m, nn.Conv2d)) if backbone else iter(())
    first = next(convolutions, None)
    return None if first is None else first.in_channels
