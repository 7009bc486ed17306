#!/usr/bin/env python3
"""Which paths a trained RSMamba listens to: ``analyze_gates.py CONFIG CHECKPOINT [--work-dir FOLDER]``.

The test images of the config go through the model. Beside the log, ``gates.csv`` has the mean weight of
each path in each block and its standard deviation over the images, ``gates.png`` shows the means.
"""

import argparse

from _trained import Trained, run

from rsmamba_mm.apis import gates_of
from rsmamba_mm.command_line import Parser
from rsmamba_mm.visualization import draw_gates, write_table
from rsmamba_mm.visualization._figures import save_figure


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    run(parser, analyze)


def analyze(args: argparse.Namespace, trained: Trained) -> None:
    weights, orders = gates_of(trained.model, trained.runner.test_dataloader)
    mean, spread = weights.mean(0), weights.std(0)
    rows = [
        dict(block=block + 1, path=name, mean=f'{mean[block, k]:.6f}', std=f'{spread[block, k]:.6f}')
        for block in range(len(mean))
        for k, name in enumerate(orders)
    ]
    shares = ', '.join(f'{name} {share:.3f}' for name, share in zip(orders, mean.mean(0), strict=True))
    print(f'{len(weights)} images; mean weight over the blocks: {shares}')
    print(write_table(rows, trained.folder / 'gates.csv'))
    print(save_figure(draw_gates(mean, orders), trained.folder / 'gates.png'))


if __name__ == '__main__':
    main()
