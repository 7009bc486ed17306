"""From command line to configured runner."""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from mmengine import dump
from mmengine.config import Config
from mmengine.dist import is_main_process, master_only
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook, LoggerHook
from mmengine.registry import OPTIMIZERS, RUNNERS, DefaultScope, build_runner_from_cfg, init_default_scope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import collect_env

from ..command_line import add_test_arguments, add_train_arguments, completed
from ..engine.safe_checkpoint import newest_checkpoint
from ..errors import OptionError, UserError
from .faults import explained_options
from .preflight import (
    PICKLES,
    check_amp,
    check_checkpoint,
    check_class,
    check_counts,
    check_entries,
    check_folders,
    check_lists,
    check_starts,
    check_test_options,
    check_work_dir,
    existing,
    explain_missing_base,
    is_segmenter,
    read_checkpoint,
    variants,
)
from .screen import progress_alone


def prepare_train(args: Namespace) -> Runner:
    """Build the runner that ``tools/train.py`` trains.

    Args:
        args (Namespace): Parsed options of :func:`add_train_arguments` and ``config``.

    Returns:
        Runner: Ready for ``train()``.

    Raises:
        OptionError: If a file is not there or an option does not fit the machine or the config.
    """
    args = completed(args, add_train_arguments)
    cfg = load_config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp_dtype is not None and not args.amp:
        raise OptionError(f'--amp-dtype {args.amp_dtype} is of --amp: give both')
    if args.amp:
        train_in_half_precision(cfg, check_amp(args.amp_dtype))
    if args.skip_faulty:
        from ..datasets.checking import leaf_configs

        for dataset in leaf_configs(cfg.train_dataloader.dataset):
            inner = dict(dataset)
            dataset.clear()
            dataset.update(type='rsmamba_mm.SkipFaulty', dataset=inner)
    if cfg.get('load_from'):
        existing(cfg.load_from, 'checkpoint (load_from)')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else existing(args.resume, 'checkpoint')
    by_itself = cfg.get('resume') and cfg.get('load_from') is None and 'runner_type' in cfg
    # a FlexibleRunner looks for a checkpoint before its hooks may
    if (restarted() or by_itself) and (newest := newest_checkpoint(cfg.work_dir)):
        cfg.resume, cfg.load_from = True, newest
    if compiled := cfg.pop('compile', None):
        add_hook(cfg, type='rsmamba_mm.CompileHook', **({} if compiled is True else compiled))
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise OptionError(
                f'--auto-scale-lr: {args.config} does not say for which batch size its learning rate '
                'is: add auto_scale_lr = dict(base_batch_size=…)'
            )
        cfg.auto_scale_lr.enable = True
    return build_runner(cfg)


def prepare_test(args: Namespace) -> Runner:
    """Build the runner that ``tools/test.py`` tests.

    Args:
        args (Namespace): Parsed options of :func:`add_test_arguments` and ``config``.

    Returns:
        Runner: Ready for ``test()``.

    Raises:
        OptionError: If a file is not there or an option does not fit the machine or the config.
    """
    args = completed(args, add_test_arguments)
    cfg = load_config(args)
    check_test_options(args, cfg)
    cfg.load_from = existing(args.checkpoint, 'checkpoint')
    if args.amp:
        check_amp()
        cfg.test_cfg.fp16 = True
    segmenter = is_segmenter(cfg)
    if args.tta:
        add_test_time_augmentation(cfg)
    if args.format_only:
        cfg.test_evaluator = []
        cfg.test_dataloader.dataset.pipeline = without_annotations(cfg.test_dataloader.dataset.pipeline)
    if args.show_dir:
        add_pictures(cfg, segmenter, args.show_dir, args.interval or 1)
    as_maps = args.out and args.out_item != 'metrics' and Path(args.out).suffix.lower() not in PICKLES
    if as_maps:
        # a data set without masks may say so by its metric
        from_zero = args.format_only or any(e.get('format_only') for e in _as_list(cfg.test_evaluator))
        hook = dict(type='rsmamba_mm.LandCoverMapHook', out_dir=args.out, rgb=args.rgb, from_zero=from_zero)
        add_hook(cfg, **hook)
    runner = build_runner(cfg, splits=['test'], masks=not args.format_only)
    meta = getattr(runner.test_dataloader.dataset, 'metainfo', None) or {}
    check_checkpoint(cfg.load_from, read_checkpoint(cfg.load_from), runner.model, meta.get('classes'))
    if args.out and not as_maps:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        if args.out_item == 'metrics':
            runner.register_hook(_DumpMetrics(args.out), priority='VERY_LOW')
        else:
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    return runner


def load_config(args: Namespace) -> Config:
    """Read the config and merge the options that all runs share into it.

    Raises:
        OptionError: If there is no such config, or no such base of it.
    """
    # older launchers pass the rank as an option, torchrun as a variable
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / '_'.join([Path(args.config).stem, *variants(cfg)]))
    return cfg


def read_config(path: str, options: dict | None = None) -> Config:
    """Read a config and override entries of it.

    Args:
        path (str): The config file.
        options (dict, optional): Entries such as ``{'train_dataloader.batch_size': 8}``. Defaults to None.

    Returns:
        Config: The config.

    Raises:
        OptionError: If there is no such config or base of it, it cannot be read, or an option does not fit.
    """
    try:
        cfg = Config.fromfile(existing(path, 'config'))
    except FileNotFoundError as error:
        raise OptionError(explain_missing_base(path) or f'{path}: {error}') from error
    except UserError:
        raise
    except Exception as error:  # a config is a program
        reason = ' '.join(str(error).split())
        raise OptionError(f'{path} cannot be read ({type(error).__name__}: {reason}): mend it') from error
    if options is not None:
        root = cfg.get('data_root')
        check_entries(path, cfg, options)
        try:
            cfg.merge_from_dict(options)
        except (AssertionError, KeyError, TypeError) as error:
            raise OptionError(
                f'--cfg-options: {path} has no such entry ({error}): what is in a list is named by its '
                'place, as param_scheduler.0.end; else write a config with _base_'
            ) from error
        if 'data_root' in options and root is not None:
            # the data sets hold copies of the value that the config file had
            _replace_root(cfg._cfg_dict, root, cfg.data_root)
    return cfg


def build_runner(
    cfg: Config, splits: Sequence[str] = ('train', 'val', 'test'), masks: bool = True
) -> Runner:
    """The runner of a config, of the class that ``runner_type`` names if it does.

    Args:
        cfg (Config): The config.
        splits (Sequence[str]): Whose data have to be there. Defaults to all three.
        masks (bool): Whether masks have to be there too. Defaults to True.

    Returns:
        Runner: The runner.

    Raises:
        MissingDataError: If a folder of a data set of mmsegmentation's is not there, or has no images.
        FaultyDataError: If the list of a data set has faulty lines.
        OptionError: If a number is none, a type is of no known class, a class refuses an option, or the
            checkpoint that a part of the model starts from is not there.
        OutputError: If the work dir cannot be written.
    """
    check_counts(cfg)
    for split in splits:
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset', {})
        check_folders(dataset, masks)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            check_lists(dataset)
    if 'train' in splits:
        check_starts(cfg.model, 'model')
        optimizer = cfg.get('optim_wrapper', {}).get('optimizer', {})
        check_class(OPTIMIZERS, optimizer.get('type'), 'optimiser')
    check_work_dir(cfg.work_dir)
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        # ranks without a GPU talk by gloo, and DistributedDataParallel has no device to name
        cfg.env_cfg.dist_cfg = dict(cfg.env_cfg.get('dist_cfg') or {}, backend='gloo')
        wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
        cfg.model_wrapper_cfg = dict(wrapper, **(cfg.get('model_wrapper_cfg') or {}))
        if cfg.pop('sync_bn', None):
            warnings.warn(
                'sync_bn needs GPUs: here each process normalises by its own part of the batch',
                stacklevel=2,
            )
    if 'FSDP' in cfg.get('strategy', {}).get('type', '') and (
        not torch.cuda.is_available() or cfg.get('launcher', 'none') == 'none'
    ):
        raise OptionError(
            f'{cfg.filename}: FSDP spreads a model over GPUs, one process each: start it by '
            'tools/dist_train.sh or tools/slurm_train.sh on a machine that has them, or take the config '
            'that it is based on'
        )
    if cfg.get('visualizer'):
        # MMEngine gives it the run's own name: one of the config's would be shared by all runs of a process
        cfg.visualizer.pop('name', None)
    own = 'runner_type' in cfg
    with explained_options(cfg.filename or 'the config'), progress_alone():
        # MMEngine names a runner's scope by config and second, and takes one of that name as it stands
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        runner = build_runner_from_cfg(cfg, RUNNERS) if own else Runner.from_cfg(cfg)
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            # MMEngine lets all ranks write the figures of a test into the one file, at the same time
            hook.after_test_epoch = master_only(hook.after_test_epoch)
    if is_main_process():
        record_run(Path(runner.log_dir) / 'run.json')
        log = Path(runner.log_dir) / f'{runner.timestamp}.log'
        runner.logger.info('environment, config, hooks and options of the parameters: %s', log)
    return runner


def train_in_half_precision(cfg: Config, dtype: str) -> None:
    """Have a config's model computed in half precision, and its losses looked at.

    Args:
        cfg (Config): The config.
        dtype (str): ``'float16'`` or ``'bfloat16'``.
    """
    if dtype == 'bfloat16':
        cfg.optim_wrapper.type = 'rsmamba_mm.BFloat16OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
    else:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    add_hook(cfg, type='rsmamba_mm.CheckFiniteHook')


def add_hook(cfg: Config, **hook) -> None:
    """Add a hook to those of a config."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def restarted() -> bool:
    """Whether torchrun or Slurm has started this job again after a fault."""
    counts = (os.environ.get(f'{launcher}_RESTART_COUNT') for launcher in ('TORCHELASTIC', 'SLURM'))
    return any(count not in (None, '', '0') for count in counts)


def record_run(path: str | Path) -> None:
    """Write the command, its folder and the environment, so that the run can be repeated."""
    from .. import __version__

    record = dict(
        command=shlex.join([sys.executable, *sys.argv]),
        folder=str(Path.cwd()),
        rsmamba_mm=__version__,
        environment={name: str(value) for name, value in collect_env().items()},
    )
    Path(path).write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')


def add_test_time_augmentation(cfg: Config) -> None:
    """Wrap a config's model and test pipeline for test-time augmentation.

    Raises:
        OptionError: If the config is no classifier and does not say itself how to augment.
    """
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        if cfg.get('default_scope') != 'mmpretrain':
            raise OptionError('--tta: the config needs tta_model and tta_pipeline')
        *steps, pack = deepcopy(cfg.test_dataloader.dataset.pipeline)
        flips = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)]
        cfg.tta_model = dict(type='AverageScoreTTA')
        cfg.tta_pipeline = [*steps, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def add_pictures(cfg: Config, segmenter: bool, folder: str, interval: int = 1) -> None:
    """Let a test write pictures with the predictions: by the config's own hook if it is one of ours."""
    kind, switch = ('LandCover', 'draw') if segmenter else ('Scene', 'enable')
    hooks = cfg.setdefault('default_hooks', {})
    hook = dict(hooks.get('visualization') or {})
    if not segmenter and hook.get('type', '').rpartition('.')[2] == 'VisualizationHook':
        hook = {}  # its further arguments are of another way of drawing
    hook.update(type=f'rsmamba_mm.{kind}VisualizationHook', out_dir=folder, interval=interval)
    hooks['visualization'] = dict(hook, **{switch: True})


def without_annotations(pipeline: list) -> list:
    """A test pipeline, plain or for test-time augmentation, without the steps that load ground truth."""
    kept = []
    for step in pipeline:
        if isinstance(step, list):
            step = without_annotations(step)
            if not step:
                continue
        elif step['type'].endswith('Annotations'):
            continue
        elif 'transforms' in step:
            step = dict(step, transforms=without_annotations(step['transforms']))
        kept.append(step)
    return kept


class _DumpMetrics(Hook):
    """Write the metrics of a test to a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        if is_main_process():
            # of NumPy's scalars YAML would write the bytes
            plain = {key: v.tolist() if hasattr(v, 'tolist') else v for key, v in (metrics or {}).items()}
            dump(plain, self.path)


def _as_list(evaluators: dict | list | None) -> list:
    return evaluators if isinstance(evaluators, list) else [evaluators or {}]


def _replace_root(node: dict | list, old: str, new: str) -> None:
    """Replace a folder by another one wherever a config names it or something in it."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        if isinstance(value, dict | list):
            _replace_root(value, old, new)
        elif isinstance(value, str) and (value == old or value.startswith(f'{old}/')):
            node[key] = new + value[len(old) :]
