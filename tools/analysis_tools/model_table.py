#!/usr/bin/env python3
"""The table of models in the README of each family of configs, counted from the configs.

``python tools/analysis_tools/model_table.py`` writes them anew; ``--check`` says which are out of date.
Parameters and multiply-adds (MMEngine's counter) are of the whole classifier at the size of its test
images; the scans' operations, 9·B·L·D·N + B·D·L each, stand in a column of their own.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from pathlib import Path

import torch

from rsmamba_mm import compat

compat.apply()

import yaml  # noqa: E402
from mmengine.analysis import FlopAnalyzer  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import MODELS, init_default_scope  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
START, END = '<!-- models: tools/analysis_tools/model_table.py -->\n', '<!-- end of models -->\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('family', nargs='*', help='folders of configs/; default: all with a table')
    parser.add_argument('--check', action='store_true', help='write nothing; fail where a table is old')
    args = parser.parse_args()
    warnings.filterwarnings('ignore')
    logging.disable(logging.WARNING)
    old = []
    for readme in sorted(CONFIGS.glob('*/README.md')):
        text = readme.read_text()
        if START not in text or (args.family and readme.parent.name not in args.family):
            continue
        before, rest = text.split(START)
        after = rest.split(END)[1]
        new = f'{before}{START}{table(readme.parent)}{END}{after}'
        if new != text and args.check:
            old.append(str(readme))
        elif new != text:
            readme.write_text(new)
            print(f'{readme} written')
    if old:
        sys.exit(f'out of date: {", ".join(old)}; run python {sys.argv[0]}')


def table(folder: Path) -> str:
    """The table of a family, its lines in the order of the metafile."""
    entries = yaml.safe_load((folder / 'metafile.yml').read_text())['Models']
    published = any('Published' in entry['Metadata'] for entry in entries)
    lines = [
        '| config | data | input | parameters | multiply-adds | scans |'
        + ' paper: P / R / F1 |' * published,
        '|---|---|---|---|---|---|' + '---|' * published,
    ]
    for entry in entries:
        path = CONFIGS.parent / entry['Config']
        size, parameters, adds, scans = count(path)
        cells = [
            f'[{path.name}]({path.name})',
            entry['Metadata']['Training Data'],
            f'{size} px',
            f'{parameters:,}',
            f'{adds / 1e9:.2f} G',
            f'{scans / 1e9:.2f} G' if scans else '–',
        ]
        if published:
            cells.append(entry['Metadata'].get('Published', ''))
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def count(path: Path) -> tuple[int, int, int, int]:
    """Input size, parameters, multiply-adds without the scans, and the scans' operations."""
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).eval()
    size = cfg.test_dataloader.dataset.get('img_size') or next(
        step.crop_size for step in cfg.test_dataloader.dataset.pipeline if step.type == 'CenterCrop'
    )
    bands = len(cfg.data_preprocessor.mean)
    with torch.no_grad():
        counts = FlopAnalyzer(model, torch.zeros(1, bands, size, size)).by_operator()
    scans = counts.pop('scan', 0)
    return size, sum(p.numel() for p in model.parameters()), sum(counts.values()), scans


if __name__ == '__main__':
    main()
