#!/usr/bin/env python3
"""Effective receptive field: ``analyze_receptive_field.py CONFIG CHECKPOINT [--images N]``.

How much each pixel says in what the model makes of the centre of an image, in the mean over the first N
test images of one size. Beside the log, ``receptive_field.csv`` has the side of the centred square that
holds a share of it, in parts of the image's side, and ``receptive_field.png`` the field, logarithmic.
"""

import argparse

from _trained import Trained, run

from rsmamba_mm.apis import effective_receptive_field, field_sides
from rsmamba_mm.command_line import Parser
from rsmamba_mm.errors import OptionError
from rsmamba_mm.visualization import plot_receptive_field, write_table


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=50, metavar='N', help='default: 50')
    run(parser, analyze)


def analyze(args: argparse.Namespace, trained: Trained) -> None:
    if args.images < 1:
        raise OptionError(f'--images must be at least 1, got {args.images}')
    model, dataset = trained.model, trained.runner.test_dataloader.dataset
    indices = range(min(args.images, len(dataset)))

    def images():
        for index in indices:
            sample = dataset[index]
            batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
            yield model.data_preprocessor(batch, False)['inputs']

    field = effective_receptive_field(model, images())
    sides = field_sides(field)
    rows = [dict(share=share, side=f'{side:.4f}') for share, side in sides.items()]
    print(f'{len(indices)} images of {field.shape[1]} x {field.shape[0]} px')
    for share, side in sides.items():
        print(f'  {100 * share:2.0f} % lie in a square of {100 * side:.1f} % of the side')
    print(write_table(rows, trained.folder / 'receptive_field.csv'))
    print(plot_receptive_field(field, sides, trained.folder / 'receptive_field.png'))


if __name__ == '__main__':
    main()
