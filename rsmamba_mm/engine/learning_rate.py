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
    that is with an ``init_cfg`` of the type ``Pretrained``, or of the part of it that does; a custom key
    ``backbone`` is taken instead where there is one.

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
        factor = self.paramwise_cfg.get('pretrained_lr_mult', 1.0)
        pretrained = self._pretrained_parts(module, factor)
        for group in params:
            name = names[id(group['params'][0])]
            self.adjust(group, name, factor if name.startswith(pretrained) else 1)

    def adjust(self, group: dict, name: str, factor: float) -> None:
        """Apply the rules to the group of one parameter.

        Args:
            group (dict): As MMEngine made it.
            name (str): Of the parameter in the model.
            factor (float): Of its rate, for pretrained weights.
        """
        if name.endswith('bias') and self.base_wd is not None:
            group['weight_decay'] = self.base_wd * self.paramwise_cfg.get('bias_decay_mult', 1.0)
        if factor != 1:
            group['lr'] = self.base_lr * factor

    def _pretrained_parts(self, module: nn.Module, factor: float) -> tuple[str, ...]:
        """How the names of parameters begin that take the factor."""
        if factor == 1 or 'backbone' in self.paramwise_cfg.get('custom_keys', {}):
            return ()
        backbone = getattr(module, 'backbone', nn.Module())
        parts = [name for name, part in backbone.named_modules(prefix='backbone') if _is_pretrained(part)]
        if parts:
            print_log(f'{", ".join(parts)}: pretrained, {factor:g} of the rate', logger='current')
            return tuple(f'{name}.' for name in parts)
        print_log(
            'backbone: no pretrained weights (model.backbone.init_cfg), so it takes the whole rate and not '
            f'{factor:g} of it; optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult sets another one',
            logger='current',
        )
        return ()


def _is_pretrained(module: nn.Module) -> bool:
    init_cfg = getattr(module, 'init_cfg', None)
    cfgs = init_cfg if isinstance(init_cfg, list) else [init_cfg]
    return any(cfg and cfg.get('type') == 'Pretrained' for cfg in cfgs)


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
