"""How long a rate falls."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from torch import nn

import rsmamba_mm.datasets
import rsmamba_mm.engine
import rsmamba_mm.models  # noqa: F401 - registers


def rates(root, tmp_path, config: str, max_epochs: int) -> list[float]:
    """The rate after each epoch of a config's schedule, with ``--cfg-options train_cfg.max_epochs=…``."""

    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, inputs, **_):
            return self.weight

    cfg = Config.fromfile(root / 'configs' / config)
    cfg.merge_from_dict({'train_cfg.max_epochs': max_epochs})
    data = dict(batch_size=4, dataset=list(range(16)), sampler=dict(type='DefaultSampler', shuffle=False))
    runner = Runner(
        Tiny(),
        str(tmp_path),
        train_dataloader=data,
        train_cfg=cfg.train_cfg,
        optim_wrapper=OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)),
        experiment_name=tmp_path.name,
        default_scope='mmengine',
    )
    runner._train_loop = runner.build_train_loop(cfg.train_cfg)
    schedules = runner.build_param_scheduler(cfg.param_scheduler)
    found = []
    for _ in range(max_epochs):
        for by_epoch in (False, True):
            for _ in range(1 if by_epoch else 4):
                runner.optim_wrapper.optimizer.step()
                for schedule in schedules:
                    if schedule.by_epoch == by_epoch:
                        schedule.step()
        found.append(runner.optim_wrapper.get_lr()['lr'][0])
    return found


def last_of_cosine(lowest: float, length: int) -> float:
    """MMEngine takes its last step at ``length - 1``."""
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * (length - 1) / length)) / 2


@pytest.mark.smoke
@pytest.mark.parametrize(
    ('config', 'lowest', 'warm_up', 'steps'),
    [
        ('rsmamba/rsmamba-t_synthetic-128px.py', 2e-5, 1, 4),
        ('rsmamba/rsmamba-t_ucmerced-128px.py', 2e-5, 2, 4),
        ('baselines/resnet18_ucmerced-128px.py', 2e-5, 2, 4),
        ('unetmamba/unetmamba_rest-lite_synthetic-128x128.py', 1e-6, 0, 4),
        ('unetmamba/unetmamba_tiny_synthetic-128x128.py', 2e-5, 1, 4),
        ('unetmamba/unetmamba_rest-lite_loveda-512x512.py', 1e-6, 0, 1),
    ],
)
@pytest.mark.parametrize('max_epochs', [3, 12])
def test_cosine_ends_with_the_training(root, tmp_path, config, lowest, warm_up, steps, max_epochs):
    found = rates(root, tmp_path, config, max_epochs)
    length = (max_epochs - warm_up) * steps
    assert found[-1] == pytest.approx(last_of_cosine(lowest, length), rel=1e-6)


@pytest.mark.smoke
@pytest.mark.parametrize('max_epochs', [1, 10, 11, 20])
def test_a_training_may_be_over_before_the_warm_up(root, tmp_path, max_epochs):
    """Ten epochs of warm-up, then what is left."""
    found = rates(root, tmp_path, 'rsmamba/rsmamba-b_ucmerced.py', max_epochs)
    warm_up = [1e-3 + (1 - 1e-3) * min(1, 4 * epoch / 39) for epoch in range(1, 11)]
    assert found[:10] == pytest.approx(warm_up[:max_epochs])
    if max_epochs > 10:
        assert found[-1] == pytest.approx(last_of_cosine(1e-5, (max_epochs - 10) * 4), rel=1e-6)


def test_it_is_mmengines_cosine():
    def rate(kind, **options):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        built = PARAM_SCHEDULERS.build(
            dict(type=kind, eta_min=0.1, **options), default_args=dict(optimizer=optimizer)
        )
        found = []
        for _ in range(8):
            optimizer.step()
            built.step()
            found.append(optimizer.param_groups[0]['lr'])
        return found

    for options in (dict(end=8), dict(begin=2, end=7), dict(T_max=4)):
        assert rate('CosineToEndLR', **options) == rate('CosineAnnealingLR', **options)
    assert rate('CosineToEndLR', begin=9, end=3) == [1.0] * 8
