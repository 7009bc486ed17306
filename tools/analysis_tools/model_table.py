#!/usr/bin/env python3
"""The table of models in the README of each family of configs, counted from the configs.

``python tools/analysis_tools/model_table.py`` writes them anew; ``--check`` says which are out of date.
Parameters and multiply-adds of matrix products and convolutions are those of inference, at the size of the
test images (a segmenter's: ``Input Size`` in the metafile, else its crops); the scans' operations,
9·B·L·D·N + B·D·L each, stand in a column of their own. A segmenter's multiply-adds are parted between
encoder and decoder, and its parameters shown with the head for training too. A pre-training's are those
of a forward, decoder included.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import rsmamba_mm._openmmlab  # noqa: F401 - cures come first

import yaml
from _measure import markdown
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from rsmamba_mm.command_line import Parser
from rsmamba_mm.models.complexity import count_operations

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
_COUNTED: dict[tuple, tuple[int, ...]] = {}
START, END = '<!-- models: tools/analysis_tools/model_table.py -->\n', '<!-- end of models -->\n'


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('family', nargs='*', help='folders of configs/; default: all with a table')
    parser.add_argument('--check', action='store_true', help='write nothing; fail where a table is old')
    args = parser.parse_args()
    families = [
        path.parent.name for path in sorted(CONFIGS.glob('*/README.md')) if START in path.read_text()
    ]
    if unknown := set(args.family) - set(families):
        parser.refuse(f'{", ".join(sorted(unknown))}: the families with a table are {", ".join(families)}')
    warnings.filterwarnings('ignore')
    logging.disable(logging.WARNING)
    old = []
    for family in args.family or families:
        readme = CONFIGS / family / 'README.md'
        text = readme.read_text()
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
    rows = [row(entry) for entry in entries]
    heads = list(dict.fromkeys(head for cells in rows for head in cells))
    return markdown([heads, *([cells.get(head, '') for head in heads] for cells in rows)])


def row(entry: dict) -> dict[str, str]:
    """The cells of a line by their headings, with the paper's figures where it has some."""
    path, about = CONFIGS.parent / entry['Config'], entry['Metadata']
    cfg = Config.fromfile(path)
    segmenter = cfg.default_scope == 'mmseg'
    size = about.get('Input Size') or image_size(cfg)
    shape = 1, len(cfg.data_preprocessor.mean), size, size
    whole, auxiliary, adds, scans, encoder = costs(cfg, shape)
    cells = {
        'config': f'[{path.name}]({path.name})',
        'data': about['Training Data'],
        'input': f'{size} px',
        'parameters': f'{whole - auxiliary:,}',
    }
    if segmenter:
        cells['in training'] = f'{whole:,}'
    cells['multiply-adds'] = giga(adds)
    if segmenter:
        cells.update({'encoder': giga(encoder), 'decoder': giga(adds - encoder)})
    cells['scans'] = giga(scans)
    if 'Published' in about:
        cells['paper' if segmenter else 'paper: P / R / F1'] = about['Published']
    return cells


def costs(cfg: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Parameters, of these an auxiliary head's, multiply-adds, operations of scans, and multiply-adds of a
    segmenter's encoder; counted once for all configs of one model."""
    key = str(cfg.model), shape
    if key not in _COUNTED:
        init_default_scope(cfg.default_scope)
        model = MODELS.build(cfg.model)
        segmenter = cfg.default_scope == 'mmseg'
        counted = Reconstruction(model) if hasattr(model, 'reconstruct') else model
        auxiliary = parameters(model.auxiliary_head) if segmenter and model.with_auxiliary_head else 0
        encoder = count_operations(model.backbone, shape)[0] if segmenter else 0
        _COUNTED[key] = parameters(model), auxiliary, *count_operations(counted, shape), encoder
    return _COUNTED[key]


def image_size(cfg: Config) -> int:
    """Of a classifier's test images; of a segmenter's crops, as its test images are of any size."""
    if cfg.default_scope == 'mmseg':
        return cfg.data_preprocessor.size[0]
    if 'test_dataloader' not in cfg:  # a pre-training
        return cfg.model.backbone.img_size
    dataset = cfg.test_dataloader.dataset
    return dataset.get('img_size') or next(
        step.crop_size for step in dataset.pipeline if step.type == 'CenterCrop'
    )


class Reconstruction(nn.Module):
    """What a pre-training predicts, as a module to count."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.reconstruct(images)[0]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def giga(number: int) -> str:
    return f'{number / 1e9:.2f} G' if number else '–'


if __name__ == '__main__':
    main()
