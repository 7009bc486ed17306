#!/usr/bin/env python3
"""Write a trained model as a graph: ``export.py CONFIG CHECKPOINT OUT --for FORMAT``.

FORMAT is onnx, openvino or torch, and OUT ends in .onnx, .xml or .pt2; deepness or geodeep, for an ONNX
file by which these map rasters; or stac, for an item (.json) of a catalogue beside a .pt2 file. Two test
images go through the model and the graph, whose largest difference is printed; above 1e-4 of the outputs'
standard deviation, if it is no rounding of the model itself, nothing is written. docs/export.md says more.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import torch
from torch import Tensor, nn

from rsmamba_mm.apis import prepare_test
from rsmamba_mm.apis.export import FORMATS, MAPPERS, export_model
from rsmamba_mm.apis.predictors import predictor
from rsmamba_mm.command_line import Parser, add_config_arguments
from rsmamba_mm.errors import OptionError, UserError


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('out')
    parser.add_argument('--for', dest='target', required=True, choices=FORMATS, help='what is to run it')
    parser.add_argument(
        '--normalize',
        action='store_true',
        help='take 0 to 255, colours as RGB, and normalise inside',
    )
    parser.add_argument('--softmax', action='store_true', help='give probabilities instead of logits')
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="of the graph's images (default: of the config's windows, or of its test images)",
    )
    sizes.add_argument('--any-size', action='store_true', help='for models without a size of their own')
    parser.add_argument(
        '--resolution', type=float, metavar='CM', help='deepness, geodeep: ground length of a pixel'
    )
    parser.add_argument('--overlap', type=float, metavar='PERCENT', help='of their tiles (default: 25)')
    parser.add_argument(
        '--bands', nargs='+', default=(), metavar='NAME', help='stac: names of the channels'
    )
    parser.add_argument(
        '--images',
        nargs=2,
        metavar='FILE',
        help="to compare with, in place of two of the config's test part",
    )
    parser.add_argument('--work-dir', default='work_dirs/export', help='for the log (default: %(default)s)')
    add_config_arguments(parser)
    args = parser.parse_args()
    try:
        print(export(args))
    except (UserError, OSError) as error:
        parser.refuse(error)


def export(args: argparse.Namespace) -> str:
    model, images, classes = _from_files(args) if args.images else _from_test_part(args)
    report = export_model(
        model,
        args.out,
        args.target,
        images,
        classes,
        normalize=args.normalize,
        softmax=args.softmax,
        any_size=args.any_size,
        resolution=args.resolution,
        overlap=args.overlap,
        bands=args.bands,
    )
    height, width = ('height', 'width') if args.any_size else images.shape[-2:]
    batch = 1 if args.target in MAPPERS else 'batch'
    return f'{report}\ninput: ({batch}, {images.shape[1]}, {height}, {width}) float32'


def _from_files(args: argparse.Namespace) -> tuple[nn.Module, Tensor, Sequence[str]]:
    """Model, two normalised images and names of the classes."""
    trained = predictor(args.config, args.checkpoint, device='cpu', cfg_options=args.cfg_options)
    images = [trained.inputs([trained.read(file)]) for file in args.images]
    model = trained.model
    sides = (min(image.shape[side] for image in images) for side in (-2, -1))
    height, width = args.size or getattr(model.data_preprocessor, 'size', None) or sides
    for file, image in zip(args.images, images, strict=True):
        if height > image.shape[-2] or width > image.shape[-1] or min(height, width) < 1:
            seen = f'{image.shape[-2]} x {image.shape[-1]}'
            raise OptionError(
                f'--size {height} {width}: {file} is {seen} px for the model: name a larger image'
            )
    return model, torch.cat([image[..., :height, :width] for image in images]), trained.classes


def _from_test_part(args: argparse.Namespace) -> tuple[nn.Module, Tensor, Sequence[str]]:
    """The same, of the config's data."""
    test = {key: getattr(args, key) for key in ('config', 'checkpoint', 'work_dir', 'cfg_options')}
    runner = prepare_test(argparse.Namespace(**test))
    runner.load_or_resume()
    model, dataset = runner.model.cpu().eval(), runner.test_dataloader.dataset
    if len(dataset) < 2:
        raise OptionError(
            f'{args.config}: needs two test images to check the graph with: --images FILE FILE'
        )
    images = model.data_preprocessor(_samples(args, model, dataset), False)['inputs']
    return model, images, dataset.metainfo.get('classes', ())


def _samples(args: argparse.Namespace, model: Any, dataset: Any) -> dict[str, list]:
    """Two test images, cut to the graph's size from their upper left corners."""
    samples = [dataset[index] for index in range(2)]
    images = [sample['inputs'] for sample in samples]
    sizes = [tuple(image.shape[-2:]) for image in images]
    rule = getattr(model, 'test_cfg', None) or {}
    size = args.size
    if size is None and rule.get('mode') == 'slide':
        # of images smaller than a window, mmseg's windows are as large as the image
        size = [min(sides) for sides in zip(rule['crop_size'], *sizes, strict=True)]
    elif size is None and sizes[0] != sizes[1]:
        named = ' and '.join(f'{height} x {width}' for height, width in sizes)
        raise OptionError(
            f'{args.config}: the test images are of {named} px: choose by --size HEIGHT WIDTH'
        )
    height, width = size or sizes[0]
    if any(height > h or width > w for h, w in sizes) or min(height, width) < 1:
        raise OptionError(f'--size {height} {width}: the first two test images are of {sizes} px')
    return {
        'inputs': [image[..., :height, :width] for image in images],
        'data_samples': [sample['data_samples'] for sample in samples],
    }


if __name__ == '__main__':
    main()
