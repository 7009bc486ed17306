"""From command line to configured runner: the options of OpenMMLab's train and test tools."""

from __future__ import annotations

import json
import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process, master_only
from mmengine.evaluator import DumpResults
from mmengine.hooks import LoggerHook
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner
from mmengine.utils.dl_utils import collect_env
from torch import nn

from ..errors import MissingDataError, OptionError


def add_train_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/train.py``."""
    _add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from this checkpoint, or, with no value, from the latest in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the actual batch size over the one it was set for',
    )
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate during training')


def add_test_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/test.py``."""
    parser.add_argument('checkpoint', help='checkpoint to evaluate')
    _add_common_arguments(parser)
    parser.add_argument('--out', help='file for the predictions (.pkl)')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: the config's tta_model and tta_pipeline, else flips",
    )
    parser.add_argument('--amp', action='store_true', help='test in mixed precision')


def prepare_train(args: Namespace) -> Runner:
    """Build the runner that ``tools/train.py`` trains.

    Args:
        args (Namespace): Parsed options of :func:`add_train_arguments` and ``config``.

    Returns:
        Runner: Ready for ``train()``.

    Raises:
        OptionError: If a file is not there or an option does not fit the machine or the config.
    """
    cfg = load_config(args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        _check_amp()
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else _existing(args.resume, 'checkpoint')
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
    cfg = load_config(args)
    cfg.load_from = _existing(args.checkpoint, 'checkpoint')
    if args.amp:
        _check_amp()
        cfg.test_cfg.fp16 = True
    if args.tta:
        add_test_time_augmentation(cfg)
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise OptionError(f'--out: predictions are written as .pkl, got {args.out}')
    runner = build_runner(cfg)
    _check_checkpoint(cfg.load_from, runner.model)
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    return runner


def load_config(args: Namespace) -> Config:
    """Read the config and merge the options that all tools share into it.

    Raises:
        OptionError: If there is no such config.
    """
    # older launchers pass the rank as an option, torchrun as a variable
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(_existing(args.config, 'config'))
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        root = cfg.get('data_root')
        cfg.merge_from_dict(args.cfg_options)
        if 'data_root' in args.cfg_options and root is not None:
            # the data sets hold copies of the value that the config file had
            _replace_root(cfg._cfg_dict, root, cfg.data_root)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, of the class that ``runner_type`` names if it does.

    Raises:
        MissingDataError: If a folder of a data set of mmsegmentation's is not there, or has no images.
    """
    for split in ('train', 'val', 'test'):
        _check_folders((cfg.get(f'{split}_dataloader') or {}).get('dataset', {}))
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        # ranks without a GPU talk by gloo, and DistributedDataParallel has no device to name
        cfg.env_cfg.dist_cfg = dict(cfg.env_cfg.get('dist_cfg') or {}, backend='gloo')
        wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
        cfg.model_wrapper_cfg = dict(wrapper, **(cfg.get('model_wrapper_cfg') or {}))
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            # MMEngine lets all ranks write the figures of a test into the one file, at the same time
            hook.after_test_epoch = master_only(hook.after_test_epoch)
    if is_main_process():
        record_run(Path(runner.log_dir) / 'run.json')
    return runner


def record_run(path: str | Path) -> None:
    """Write the command, its folder and the environment, so that the run can be repeated."""
    from .. import __version__

    record = dict(
        command=shlex.join([sys.executable, *sys.argv]),
        folder=str(Path.cwd()),
        rsmamba_mm=__version__,
        environment={name: str(value) for name, value in collect_env().items()},
    )
    Path(path).write_text(json.dumps(record, indent=2) + '\n')


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
        cfg.tta_model = dict(type='AverageClsScoreTTA')
        cfg.tta_pipeline = [*steps, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def _replace_root(node: dict | list, old: str, new: str) -> None:
    """Replace a folder by another one wherever a config names it or something in it."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        if isinstance(value, dict | list):
            _replace_root(value, old, new)
        elif isinstance(value, str) and (value == old or value.startswith(f'{old}/')):
            node[key] = new + value[len(old) :]


def _check_checkpoint(path: str, model: nn.Module) -> None:
    """Refuse a checkpoint of another model: MMEngine tests random weights with no more than a warning."""
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
        names = {name.removeprefix('module.') for name in checkpoint.get('state_dict', checkpoint)}
    except Exception as error:  # a broken file can raise anything
        raise OptionError(
            f'{path} cannot be read as a checkpoint ({error!r}): fetch or write it again'
        ) from error
    own = {name.removeprefix('module.') for name in model.state_dict()}
    shared = len(own & names)
    if 2 * shared < len(own):
        hint = ''
        if any(name.startswith(('net.', 'encoder.')) for name in names):
            hint = ': a released UNetMamba is converted by tools/model_converters/unetmamba_to_mmseg.py'
        raise OptionError(
            f'{path} is of another model: it has {shared} of the {len(own)} tensors of this one{hint}'
        )


def _check_folders(dataset: dict) -> None:
    """Refuse a missing or empty folder of images or masks before anything is built, in words."""
    while 'dataset' in dataset:  # wrapped
        dataset = dataset['dataset']
    for kind, prefix in dataset.get('data_prefix', {}).items():
        if kind not in ('img_path', 'seg_map_path') or not isinstance(prefix, str):
            continue
        folder = Path(dataset.get('data_root') or '') / prefix
        if not folder.is_dir() or not any(folder.iterdir()):
            state = 'is empty' if folder.is_dir() else 'is not there'
            raise MissingDataError(
                f'{dataset["type"]}: {folder.resolve()} {state}. Expected there: '
                f'{"images" if kind == "img_path" else "masks"}, in the layout that the converter for this '
                'data set writes; configs/unetmamba/README.md names it. '
                'Where they lie elsewhere: --cfg-options data_root=FOLDER'
            )


def _add_common_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/CONFIG)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override entries of the config, such as train_dataloader.batch_size=8; lists as '
        'key="[a,b]", without spaces',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed job were started',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def _existing(path: str, what: str) -> str:
    # a checkpoint may be an address that mmengine knows how to open
    if '://' not in path and not Path(path).is_file():
        raise OptionError(f'{what} not found: {path} (from {Path.cwd()})')
    return path


def _check_amp() -> None:
    if not torch.cuda.is_available():
        raise OptionError('--amp: mixed precision needs a GPU, and PyTorch sees none here: leave --amp out')
