"""The learning rate of a run: which parameters take which, and whether it is one that somebody meant."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import Runner
from torch import nn

from ..errors import OptionError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SegmentorOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with two rules that UNetMamba (arXiv:2408.11545) is trained by.

    ``bias_decay_mult`` holds for every parameter whose name ends in ``bias``: MMEngine's leaves out those
    that a custom key names, and those that are called otherwise, such as ``dt_projs_bias``.
    ``pretrained_lr_mult`` is the factor of the backbone's rate where it starts from pretrained weights,
    that is with an ``init_cfg`` of the type ``Pretrained``; a custom key ``backbone`` is taken instead
    where there is one.

    Args:
        optim_wrapper_cfg (dict): As MMEngine's.
        paramwise_cfg (dict, optional): As MMEngine's, and ``pretrained_lr_mult`` (float), 1 unless given.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Make a group of each parameter."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return  # a part of the model
        names = {id(p): name for name, p in module.named_parameters()}
        factor = self._backbone_factor(module)
        for group in params:
            self.adjust(group, names[id(group['params'][0])], factor)

    def adjust(self, group: dict, name: str, factor: float) -> None:
        """Apply the rules to the group of one parameter.

        Args:
            group (dict): As MMEngine made it.
            name (str): Of the parameter in the model.
            factor (float): Of the backbone's rate.
        """
        if name.endswith('bias') and self.base_wd is not None:
            group['weight_decay'] = self.base_wd * self.paramwise_cfg.get('bias_decay_mult', 1.0)
        if name.startswith('backbone.') and factor != 1:
            group['lr'] = self.base_lr * factor

    def _backbone_factor(self, module: nn.Module) -> float:
        factor = self.paramwise_cfg.get('pretrained_lr_mult', 1.0)
        if factor == 1 or 'backbone' in self.paramwise_cfg.get('custom_keys', {}):
            return 1
        init_cfg = getattr(getattr(module, 'backbone', None), 'init_cfg', None)
        for cfg in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
            if cfg and cfg.get('type') == 'Pretrained':
                print_log(f'backbone: pretrained, {factor:g} of the rate', logger='current')
                return factor
        print_log(
            'backbone: no pretrained weights (model.backbone.init_cfg), so it takes the whole rate and not '
            f'{factor:g} of it; optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult sets another one',
            logger='current',
        )
        return 1


@HOOKS.register_module()
class CheckLearningRateHook(Hook):
    """Say with which rate, for how many images a step, a training starts; refuse one that nobody meant.

    A config says in ``auto_scale_lr`` for how many images its rate is (``base_batch_size``), the highest
    rate that ``--auto-scale-lr`` may reach (``max_lr``, none unless given), and whether the rate may be
    scaled at all (``scaled``, True unless given).

    Raises:
        OptionError: If the rate was scaled although it may not be, above ``max_lr``, or without regard to
            accumulated batches, which MMEngine does not count.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check and log."""
        wrapper, settings = runner.optim_wrapper, runner.cfg.get('auto_scale_lr') or {}
        if not isinstance(wrapper, OptimWrapper):
            return
        groups = wrapper.optimizer.param_groups
        rate = max(group.get('initial_lr', group['lr']) for group in groups)
        batch = runner.train_dataloader.batch_size or 1
        accumulated = getattr(wrapper, '_accumulative_counts', 1)
        images = batch * runner.world_size * accumulated
        said = f'{rate:.3g} for {images} images a step ({batch} x {runner.world_size} processes'
        said += f' x {accumulated} accumulated)' if accumulated > 1 else ')'
        meant, scaled = settings.get('base_batch_size'), settings.get('scaled', True)
        if settings.get('enable'):
            self._check_scaled(rate, said, accumulated, settings)
        elif meant and scaled and images != meant:
            said += f'; the config means it for {meant}'
        runner.logger.info('learning rate: %s', said)

    def _check_scaled(self, rate: float, said: str, accumulated: int, settings: dict) -> None:
        highest = settings.get('max_lr')
        if not settings.get('scaled', True):
            problem = 'this recipe has one rate per process, whatever their number'
        elif accumulated > 1:
            problem = 'MMEngine scales by the batches that are loaded, and does not count accumulated ones'
        elif highest and rate > highest * (1 + 1e-6):
            problem = f'nobody has trained with more than {highest:g}'
        else:
            return
        raise OptionError(
            f'--auto-scale-lr ends at a rate of {said}, but {problem}. Leave the option out, and set '
            'optim_wrapper.optimizer.lr if need be; RECIPE=released and RECIPE=paper have the rates of '
            "RSMamba's authors"
        )
