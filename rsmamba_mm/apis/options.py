"""The options of the command lines: those of OpenMMLab's tools."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from mmengine.config import DictAction


def add_train_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/train.py``."""
    _add_run_arguments(parser)
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
    _add_run_arguments(parser)
    parser.add_argument(
        '--out',
        metavar='FILE|FOLDER',
        help='file for the predictions (.pkl); of a segmenter also a folder, for a PNG of each image with '
        'the labels of its masks',
    )
    parser.add_argument(
        '--out-item',
        choices=['pred', 'metrics'],
        help='what --out gets: the predictions (default), or the metrics (.json, .yml or .pkl)',
    )
    parser.add_argument('--rgb', action='store_true', help="segmenters: --out gets the data set's colours")
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='segmenters: write --out without any ground truth or evaluation, classes from 0, as test '
        'servers ask',
    )
    parser.add_argument('--show-dir', metavar='FOLDER', help='folder for pictures with the predictions')
    parser.add_argument(
        '--interval', type=int, metavar='N', help='--show-dir gets every N-th image (default: 1)'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: the config's tta_model and tta_pipeline, else flips",
    )
    parser.add_argument('--amp', action='store_true', help='test in mixed precision')


def add_inference_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/image_demo.py``."""
    parser.add_argument(
        'image', metavar='IMAGE|FOLDER', help='an image, or a folder with images at any depth'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of its model')
    parser.add_argument(
        '--out-dir', default='work_dirs/image_demo', help='folder for the results (default: %(default)s)'
    )
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument('--batch-size', type=int, default=1, metavar='N', help='default: 1')
    _add_config_options(parser)


def add_folder_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/classify_folder.py``."""
    parser.add_argument('config', help='config file of a classifier')
    parser.add_argument('checkpoint', help='checkpoint of its model')
    parser.add_argument(
        'source', metavar='SOURCE', help='folder, list (.txt, .lst) or zip file of images, or an image'
    )
    parser.add_argument('--out', required=True, metavar='FILE.csv', help='file for the table')
    parser.add_argument('--topk', type=int, default=5, metavar='K', help='classes an image (default: 5)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument('--batch-size', type=int, default=16, metavar='N', help='default: 16')
    _add_config_options(parser)


def completed(args: Namespace, add_arguments: Callable[[ArgumentParser], None]) -> Namespace:
    """Options with the defaults of those that a Python caller left out."""
    parser = ArgumentParser()
    add_arguments(parser)
    defaults = {action.dest: action.default for action in parser._actions if action.dest != 'help'}
    return Namespace(**{**defaults, **vars(args)})


def _add_run_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: work_dirs/CONFIG, and the recipe and the data set '
        'where the environment chooses them)',
    )
    _add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed job were started',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def _add_config_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override entries of the config, such as train_dataloader.batch_size=8; lists as '
        'key="[a,b]", without spaces',
    )
