"""Which rate a recipe's command ends with, and which parameters decay."""

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

import rsmamba_mm.datasets
import rsmamba_mm.engine
import rsmamba_mm.models  # noqa: F401 - registers
from rsmamba_mm.errors import OptionError


class Stop(Hook):
    """Ends a run before its first step, and keeps the rate."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.rate = max(group['initial_lr'] for group in runner.optim_wrapper.optimizer.param_groups)
        raise StopIteration


def rate_of(root, tmp_path, config: str, processes: int = 1, **options) -> tuple[float, str]:
    """The rate that a command starts with, and what the log says of it."""
    cfg = Config.fromfile(root / 'configs' / config)
    init_default_scope(cfg.default_scope)
    segments = cfg.default_scope == 'mmseg'
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset = dict(
        type='SyntheticScenes',
        num_images=32,
        img_size=32,
        task='segmentation' if segments else 'classification',
        pipeline=[dict(type='PackSegInputs' if segments else 'PackInputs')],
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.custom_hooks = [dict(type='CheckLearningRateHook')]
    if not segments:
        cfg.model.backbone.arch = dict(embed_dims=32, num_layers=1, feedforward_channels=64)
        cfg.model.head.in_channels = 32
    cfg.work_dir, cfg.experiment_name = str(tmp_path), tmp_path.name  # a log of its own
    cfg.merge_from_dict(options)
    runner = Runner.from_cfg(cfg)
    runner._world_size = processes
    runner.register_hook(stop := Stop(), priority='LOWEST')
    with pytest.raises(StopIteration):
        runner.train()
    log = next(tmp_path.glob(f'{runner.timestamp}/*.log')).read_text()
    return stop.rate, next(line for line in log.splitlines() if 'learning rate:' in line)


SCALED = {'auto_scale_lr.enable': True}


@pytest.mark.parametrize(
    ('recipe', 'processes', 'options', 'rate', 'said'),
    [
        ('ours', 1, {}, 1e-4, '0.0001 for 16 images a step (16 x 1 processes)'),
        ('ours', 8, {}, 1e-4, '(16 x 8 processes); the config means it for 16'),
        ('ours', 4, SCALED, 4e-4, '0.0004 for 64 images a step (16 x 4 processes)'),
        ('ours', 1, {'train_dataloader.batch_size': 8, **SCALED}, 5e-5, '5e-05 for 8 images'),
        ('released', 1, {}, 5e-4, '0.0005 for 16 images a step (16 x 1 processes)'),
        ('released', 8, {}, 5e-4, '0.0005 for 128 images a step (16 x 8 processes)'),
        ('paper', 1, {}, 5e-4, '0.0005 for 1024 images a step (16 x 1 processes x 64 accumulated)'),
        ('paper', 8, {'optim_wrapper.accumulative_counts': 8}, 5e-4, '(16 x 8 processes x 8 accumulated)'),
        (
            'paper', 8, {'optim_wrapper.accumulative_counts': 1, 'train_dataloader.batch_size': 128}, 5e-4,
            '0.0005 for 1024 images a step (128 x 8 processes)',
        ),
        (
            'paper', 2, {'optim_wrapper.accumulative_counts': 1, **SCALED}, 5e-4 / 32,
            '1.56e-05 for 32 images a step',
        ),
        ('paper', 8, {}, 5e-4, 'for 8192 images a step (16 x 8 processes x 64 accumulated)'),
    ],
)  # fmt: skip
def test_rate_of_a_recipe(root, tmp_path, monkeypatch, recipe, processes, options, rate, said):
    monkeypatch.setenv('RECIPE', recipe)
    found, line = rate_of(root, tmp_path, 'rsmamba/rsmamba-b_ucmerced.py', processes, **options)
    assert found == pytest.approx(rate)
    assert said in line


@pytest.mark.parametrize(
    ('recipe', 'processes', 'message'),
    [
        (
            'ours',
            8,
            r'ends at a rate of 0\.0008 for 128 images .*nobody has trained with more than 0\.0005',
        ),
        ('ours', 64, r'ends at a rate of 0\.0064 for 1024 images'),
        ('released', 8, r'ends at a rate of 0\.004 .*one rate per process, whatever their number'),
        ('paper', 1, r'does not count accumulated ones. Leave the option out'),
    ],
)
def test_rate_that_nobody_meant_is_refused(root, tmp_path, monkeypatch, recipe, processes, message):
    monkeypatch.setenv('RECIPE', recipe)
    with pytest.raises(OptionError, match=message):
        rate_of(root, tmp_path, 'rsmamba/rsmamba-b_ucmerced.py', processes, **SCALED)


def test_unetmamba(root, tmp_path):
    pytest.importorskip('mmseg')
    config = 'unetmamba/unetmamba_rest-lite_loveda-512x512.py'
    assert rate_of(root, tmp_path, config)[0] == pytest.approx(6e-4)
    assert rate_of(root, tmp_path, config, **{'train_dataloader.batch_size': 2, **SCALED})[0] == 1.5e-4
    with pytest.raises(OptionError, match=r'a rate of 0\.0024 for 32 images a step \(8 x 4 processes\)'):
        rate_of(root, tmp_path, config, processes=4, **SCALED)


@pytest.mark.parametrize('recipe', ['ours', 'released', 'paper'])
def test_protocol_of_a_recipe(root, monkeypatch, recipe):
    """Ours selects on a part held out of the training part, the authors' on the images that they report."""
    monkeypatch.setenv('RECIPE', recipe)
    cfg = Config.fromfile(root / 'configs/rsmamba/rsmamba-b_ucmerced.py')
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    ours = recipe == 'ours'
    assert cfg.recipe == recipe
    assert (train.get('holdout', 0), val.get('held_out', False)) == ((0.1, True) if ours else (0, False))
    assert (train.ann_file, val.ann_file) == ('train.txt', 'train.txt' if ours else 'val.txt')
    assert cfg.test_dataloader.dataset.ann_file == 'val.txt'
    assert cfg.default_hooks.checkpoint.save_best == 'single-label/f1-score'
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decay = {p: group['weight_decay'] for group in groups for p in group['params']}
    spared = {name.rpartition('.')[2] for name, p in model.named_parameters() if decay[p] == 0}
    assert spared == ({'A_log', 'D', 'bias', 'pos_embed', 'weight'} if ours else set())


class TestSegmentor:
    def groups(
        self,
        root,
        pretrained: str | None = None,
        config: str = 'unetmamba/unetmamba_rest-lite_loveda-512x512.py',
        part: str | None = None,
        **custom_keys,
    ) -> dict:
        """Name of each parameter to its group; the encoder, or a part of it, may be pretrained."""
        cfg = Config.fromfile(root / 'configs' / config)
        init_default_scope('mmseg')
        if pretrained:
            encoder = cfg.model.backbone if part is None else cfg.model.backbone[part]
            encoder.init_cfg = dict(type='Pretrained', checkpoint=pretrained)
        cfg.optim_wrapper.paramwise_cfg.custom_keys.update(custom_keys)
        model = MODELS.build(cfg.model)
        by_id = {
            id(group['params'][0]): group
            for group in build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
        }
        return {name: by_id[id(p)] for name, p in model.named_parameters()}

    def test_no_bias_decays(self, root):
        pytest.importorskip('mmseg')
        groups = self.groups(root)
        for name, group in groups.items():
            spared = name.endswith(('bias', '.A_logs', '.Ds'))
            assert group['weight_decay'] == (0 if spared else 2.5e-4), name
        parts = {name.split('.')[0] for name in groups if name.endswith('.bias')}
        assert parts == {'backbone', 'neck', 'decode_head', 'auxiliary_head'}
        assert any(name.endswith('dt_projs_bias') for name in groups)

    @pytest.mark.parametrize('pretrained', [None, 'rest_lite.pth'])
    def test_rate_of_the_encoder(self, root, pretrained):
        pytest.importorskip('mmseg')
        for name, group in self.groups(root, pretrained).items():
            tenth = pretrained is not None and name.startswith('backbone.')
            assert group['lr'] == pytest.approx(6e-5 if tenth else 6e-4), name

    def test_rate_of_a_part_of_the_encoder(self, root):
        pytest.importorskip('mmseg')
        config = 'banet/banet_rest-lite_loveda-512x512.py'
        for name, group in self.groups(root, 'rest_lite.pth', config, 'context').items():
            tenth = name.startswith('backbone.context.')
            assert group['lr'] == pytest.approx(6e-5 if tenth else 6e-4), name

    def test_a_custom_key_is_taken_instead(self, root):
        pytest.importorskip('mmseg')
        groups = self.groups(root, 'rest_lite.pth', backbone=dict(lr_mult=0.5))
        assert groups['backbone.stem.conv1.weight']['lr'] == pytest.approx(3e-4)
        assert groups['backbone.stem.norm1.bias']['weight_decay'] == 0

    def test_the_log_says_which(self, root, capfd):
        pytest.importorskip('mmseg')
        from mmengine.logging import MMLogger

        MMLogger.get_instance('rate')
        self.groups(root)
        assert 'no pretrained weights (model.backbone.init_cfg), so it takes the whole rate' in ''.join(
            capfd.readouterr()
        )
        self.groups(root, 'rest_lite.pth')
        assert 'backbone: pretrained, 0.1 of the rate' in ''.join(capfd.readouterr())
