#!/usr/bin/env python3
"""Write a trained model as a graph: ``export.py CONFIG CHECKPOINT OUT --for FORMAT``.

FORMAT is onnx, openvino or torch, and OUT ends in .onnx, .xml or .pt2; or deepness or geodeep, for an ONNX
file by which these map rasters. Images go through the model and the graph, whose largest difference is
printed; above 1e-4 of the outputs' standard deviation nothing is left. docs/export.md says more.
"""

import argparse

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

from mmengine.config import DictAction

from rsmamba_mm.apis import prepare_test
from rsmamba_mm.apis.export import FORMATS, MAPPERS, export_model
from rsmamba_mm.errors import OptionError, UserError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    parser.add_argument(
        '--resolution', type=float, metavar='CM', help='deepness, geodeep: ground length of a pixel'
    )
    parser.add_argument(
        '--overlap', type=float, default=25, metavar='%%', help='of their tiles (default: 25)'
    )
    parser.add_argument('--work-dir', default='work_dirs/export', help='for the log (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override entries: key=value …')
    args = parser.parse_args()
    try:
        print(export(args))
    except (UserError, OSError) as error:
        parser.error(str(error))


def export(args: argparse.Namespace) -> str:
    test = {key: getattr(args, key) for key in ('config', 'checkpoint', 'work_dir', 'cfg_options')}
    runner = prepare_test(argparse.Namespace(**test))
    runner.load_or_resume()
    model, dataset = runner.model.cpu().eval(), runner.test_dataloader.dataset
    if len(dataset) < 2:
        raise OptionError(f'{args.config}: needs two test images to check the graph with')
    samples = [dataset[index] for index in range(2)]
    batch = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
    images = model.data_preprocessor(batch, False)['inputs']
    if args.target == 'geodeep':  # takes what it divides by 255
        images = (images * model.data_preprocessor.std + model.data_preprocessor.mean) / 255
    elif args.normalize:
        images = images * model.data_preprocessor.std + model.data_preprocessor.mean
    report = export_model(
        model,
        args.out,
        args.target,
        images,
        dataset.metainfo.get('classes', ()),
        args.normalize,
        args.softmax,
        args.resolution,
        args.overlap,
    )
    height, width = images.shape[-2:]
    batch = 1 if args.target in MAPPERS else 'batch'
    return f'{report}\ninput: ({batch}, {images.shape[1]}, {height}, {width}) float32'


if __name__ == '__main__':
    main()
