"""The options of the command lines: those of OpenMMLab's tools.

Importing this imports neither PyTorch nor OpenMMLab, so that a tool refuses an option before the seconds
that these take.
"""

from __future__ import annotations

import difflib
import sys
from argparse import Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from .zoo import published_files, zoo_models


class Parser(ArgumentParser):
    """Of the tools: what is wrong is said in a sentence, without the usage, which ``--help`` shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # of a part of an option's name it could not be told what was meant
        super().__init__(*args, **kwargs, allow_abbrev=False)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As of ``ArgumentParser``; a model of the package stands for its config and checkpoint."""
        args = list(sys.argv[1:] if args is None else args)
        positional = [action.dest for action in self._actions if not action.option_strings]
        if 'config' in positional and 'checkpoint' in positional:
            args = [file for pair in pairwise(['', *args]) for file in self._files_of(*pair)]
        return super().parse_known_args(args, namespace)

    def _files_of(self, before: str, word: str) -> Sequence[str]:
        """Of a model of the package its two files; of another word, or an option's value, itself."""
        option, names = self._option_string_actions.get(before), zoo_models()
        if option is not None and option.nargs != 0:
            return [word]
        if word in names:
            return published_files(word)
        near = difflib.get_close_matches(word, names, 1, 0.8)
        if near and not Path(word).suffix and not Path(word).exists():
            # else the checkpoint, which its name would bring, is said to be missing
            self.refuse(f'{word} is no model of the package: did you mean {near[0]}?')
        return [word]

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As of ``ArgumentParser``; an unknown option is named with those that look like it."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            given = unknown[0].partition('=')[0]
            close = difflib.get_close_matches(given, self._option_string_actions)
            hint = f'; did you mean {" or ".join(close)}?' if close else ''
            self.error(f'unrecognized arguments: {" ".join(unknown)}{hint}')
        return found

    def error(self, message: str) -> NoReturn:
        """End with status 2, for options that cannot be read."""
        self.exit(2, f'{self.prog}: error: {message} ({self.prog} --help lists the options)\n')

    def refuse(self, error: Exception | str) -> NoReturn:
        """End with status 2, for what cannot be served; the error says what to do."""
        self.exit(2, f'{self.prog}: error: {error}\n')


def add_train_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/train.py``."""
    _add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from this checkpoint, or, with no value, from the latest in the work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision, and refuse losses of NaN'
    )
    parser.add_argument(
        '--amp-dtype',
        choices=['float16', 'bfloat16'],
        help='of --amp (default: float16 on a GPU, bfloat16 on a CPU that has it)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the actual batch size over the one it was set for',
    )
    parser.add_argument(
        '--skip-faulty',
        action='store_true',
        help='decode the training data first, and leave out, count and name the samples that are faulty',
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
    _add_model_arguments(parser, 'config file')
    parser.add_argument(
        '--out-dir', default='work_dirs/image_demo', help='folder for the results (default: %(default)s)'
    )
    _add_device_argument(parser)
    parser.add_argument('--batch-size', type=int, default=1, metavar='N', help='default: 1')
    add_config_arguments(parser)


def add_folder_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/classify_folder.py``."""
    _add_model_arguments(parser, 'config file of a classifier')
    parser.add_argument(
        'source', metavar='SOURCE', help='folder, list (.txt, .lst) or zip file of images, or an image'
    )
    parser.add_argument('--out', required=True, metavar='FILE.csv', help='file for the table')
    parser.add_argument('--topk', type=int, default=5, metavar='K', help='classes an image (default: 5)')
    _add_device_argument(parser)
    parser.add_argument('--batch-size', type=int, default=16, metavar='N', help='default: 16')
    add_config_arguments(parser)


def add_raster_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``tools/segment_raster.py``; those of the map are ``RasterOptions``'."""
    _add_model_arguments(parser, 'config file, of a segmenter or a classifier')
    parser.add_argument(
        'src',
        nargs='+',
        metavar='SRC',
        help='a raster that rasterio opens, a folder of tiles, several tiles or a .txt with one in a '
        'line, or a STAC item (.json)',
    )
    parser.add_argument('dst', metavar='DST', help='the map, a GeoTIFF; what is beside it bears its name')
    _add_device_argument(parser)
    parser.add_argument(
        '--half', choices=['float16', 'bfloat16'], help='compute in half precision what bears it'
    )
    parser.add_argument('--batch-size', type=int, metavar='N', help='windows at a time (default: 1)')
    parser.add_argument('--tta', action='store_true', help='average over flips and turns')

    windows = parser.add_argument_group('windows, in pixels')
    windows.add_argument('--window', type=int, metavar='N', help="side of a window (default: the config's)")
    windows.add_argument(
        '--overlap',
        type=int,
        metavar='N',
        help="of neighbouring windows (default: the config's, else half a window; of a classifier none)",
    )

    reading = parser.add_argument_group('reading')
    reading.add_argument('--bands', type=int, nargs='+', metavar='N', help="from 1, in the model's order")
    reading.add_argument(
        '--scale',
        nargs='+',
        metavar='S',
        help='none, statistics (mean and deviation become those of the training), or two values that '
        'become 0 and 255 (default: statistics where a model of 8-bit images gets other values)',
    )
    reading.add_argument(
        '--nodata', type=float, metavar='V', help='value without data (default: the file says)'
    )
    reading.add_argument('--aoi', metavar='FILE', help='GeoJSON, GeoPackage … with the area to map')
    reading.add_argument(
        '--assets', nargs='+', metavar='KEY', help='of a STAC item: one, or several to stack'
    )

    written = parser.add_argument_group('written beside the map')
    for name, what in (('probabilities', 'of every class'), ('confidence', 'of the class on the map')):
        written.add_argument(
            f'--{name}',
            nargs='?',
            const='uint8',
            choices=['uint8', 'float32'],
            help=f'the probability {what}, as a raster (uint8: 254 is 1)',
        )
    written.add_argument(
        '--polygons', nargs='?', const='gpkg', choices=['gpkg', 'geojson'], help='the map as polygons'
    )
    written.add_argument(
        '--simplify',
        type=float,
        metavar='T',
        help='tolerance for their borders, in units of the coordinates',
    )
    written.add_argument('--min-area', type=float, metavar='A', help='leave out smaller ones, in m²')
    written.add_argument('--areas', action='store_true', help='a table of the areas of the classes, in m²')
    written.add_argument('--stac', action='store_true', help='a STAC item of the result')
    written.add_argument('--style', action='store_true', help='styles for QGIS')

    parser.add_argument('--overwrite', action='store_true', help='replace a map that is there')
    parser.add_argument(
        '--restart', action='store_true', help='begin anew where an interrupted run could go on'
    )
    add_config_arguments(parser)


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
    add_config_arguments(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed job were started',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def _add_model_arguments(parser: ArgumentParser, what: str) -> None:
    parser.add_argument(
        'config', help=f'{what}; or, for both, a model of the package: {", ".join(zoo_models())}'
    )
    parser.add_argument('checkpoint', help='checkpoint of its model')


def _add_device_argument(parser: ArgumentParser) -> None:
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')


def add_config_arguments(parser: ArgumentParser) -> None:
    """Add ``--cfg-options`` and ``--allow-pickle``."""
    add_override_argument(parser)
    add_pickle_argument(parser)


def add_override_argument(parser: ArgumentParser) -> None:
    """Add ``--cfg-options``, of programs that load no checkpoint."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override entries of the config, such as train_dataloader.batch_size=8; lists as '
        'key="[a,b]", without spaces',
    )


def add_pickle_argument(parser: ArgumentParser) -> None:
    """Add ``--allow-pickle``, of programs that load a user's checkpoints."""
    parser.add_argument(
        '--allow-pickle',
        action=AllowPickle,
        help='let checkpoints run code as they are loaded; only for files of those you trust',
    )


class ConfigOptions(Action):
    """``--cfg-options KEY=VALUE …``, read by MMEngine's ``DictAction``."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        for value in values:
            if not value.partition('=')[0].strip() or '=' not in value:
                raise ArgumentError(self, f'{value!r} is no KEY=VALUE, such as train_cfg.max_epochs=8')
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option_string)


class AllowPickle(Action):
    """``--allow-pickle``: also of the processes that this one starts."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs) -> None:
        super().__init__(option_strings, dest, nargs=0, default=False, **kwargs)

    def __call__(self, parser: ArgumentParser, namespace: Namespace, *args) -> None:
        setattr(namespace, self.dest, True)
        from .safe_loading import allow_pickle

        allow_pickle()
