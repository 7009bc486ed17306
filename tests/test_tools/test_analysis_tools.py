"""The tools that look at a trained model: tables that add up, pictures that are there."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rsmamba_mm.apis import effective_receptive_field, field_sides
from rsmamba_mm.errors import OptionError
from rsmamba_mm.models.complexity import complexity_by_module, count_operations


def rows(path: Path) -> list[dict]:
    with open(path) as file:
        return list(csv.DictReader(file))


def results(folder: Path, name: str) -> list[dict]:
    """The table that a tool left, beside a picture that is no empty page."""
    (table,) = folder.rglob(f'{name}.csv')
    assert table.with_suffix('.png').stat().st_size > 5000
    return rows(table)


@pytest.mark.parametrize('tool', ['receptive_field', 'mistakes'])
@pytest.mark.parametrize('kind', ['scenes', 'land_cover'])
def test_tools_on_both_kinds(call, request, tmp_path, tool, kind):
    code, _, err = call(
        f'analysis_tools/analyze_{tool}.py', *request.getfixturevalue(kind), '--work-dir', tmp_path
    )
    assert code == 0, err
    table = results(tmp_path, tool)
    if tool == 'mistakes':
        scores = [float(row['score']) for row in table]
        assert len(table) == 5 and scores == sorted(scores) and 0 <= scores[0] <= scores[-1] <= 1
        assert ('true' in table[0]) == (kind == 'scenes')
    else:
        sides = [float(row['side']) for row in table]
        assert len(table) == 4 and sides == sorted(sides) and 0 < sides[0] <= sides[-1] <= 1


def test_gates(call, scenes, land_cover, tmp_path):
    code, out, err = call('analysis_tools/analyze_gates.py', *scenes, '--work-dir', tmp_path / 'scenes')
    assert code == 0, err
    assert '5 images' in out
    table = results(tmp_path / 'scenes', 'gates')
    blocks = {row['block'] for row in table}
    assert {row['path'] for row in table} == {'forward', 'reverse', 'shuffle'}
    for block in blocks:
        assert sum(float(row['mean']) for row in table if row['block'] == block) == pytest.approx(
            1, abs=1e-5
        )
    code, _, err = call('analysis_tools/analyze_gates.py', *land_cover, '--work-dir', tmp_path / 'maps')
    assert code == 2 and 'ResT has no gates: RSMamba has' in err


def test_complexity(call, land_cover, tmp_path):
    arguments = (land_cover.config, '--size', '64', '96', '--depth', '1', '--out', tmp_path)
    code, out, err = call('analysis_tools/analyze_complexity.py', *arguments)
    assert code == 0, err
    everything, *modules = results(tmp_path, 'complexity')
    parts = [row for row in modules if '.' not in row['module']]
    assert {'backbone', 'neck', 'decode_head', 'auxiliary_head'} <= {row['module'] for row in parts}
    for cost in ('parameters', 'multiply_adds', 'scan_operations'):
        assert sum(int(row[cost]) for row in parts) == int(everything[cost]), cost
    assert int(everything['activation_bytes']) >= sum(int(row['activation_bytes']) for row in parts) > 0
    assert 'decode_head' in out and 'backbone.' not in out
    code, _, err = call('analysis_tools/analyze_complexity.py', land_cover.config, '--size', '1', '2', '3')
    assert code == 2 and '--size takes one or two sides' in err


def test_what_a_forward_keeps():
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2)))
    everything, first, tanh, last, inner = complexity_by_module(model, (3, 8))
    # the input and the weights are not counted; what Tanh gave is kept by itself and the last layer: once
    assert (everything.activations, first.activations, tanh.activations) == (48, 0, 48)
    assert last.activations == inner.activations == 0
    assert everything.multiply_adds == 3 * (8 * 4 + 4 * 2) == count_operations(model, (3, 8))[0]
    assert inner.name == '2.0' and inner.multiply_adds == last.multiply_adds == 24


def test_receptive_field_of_a_convolution():
    model = nn.Sequential(nn.Conv2d(2, 4, 5, padding=2))
    model.eval()
    model.backbone = lambda x: (model[0](x),)
    field = effective_receptive_field(model, [torch.rand(2, 2, 21, 21), torch.rand(1, 2, 21, 21)])
    assert field.shape == (21, 21) and field.sum() == pytest.approx(1)
    seen = np.zeros((21, 21), bool)
    seen[8:13, 8:13] = True
    assert (field[seen] > 0).all() and not field[~seen].any()
    assert field_sides(field, [0.9999])[0.9999] == pytest.approx(5 / 21)
    assert all(p.requires_grad for p in model[0].parameters())


def test_receptive_field_says_what_it_lacks():
    model = nn.Module()
    model.backbone = lambda x: (x.flatten(1),)
    with pytest.raises(OptionError, match='the model makes no map of features'):
        effective_receptive_field(model, [torch.rand(1, 3, 8, 8)])
    model.backbone = lambda x: (x,)
    with pytest.raises(OptionError, match='no image was given'):
        effective_receptive_field(model, [])
    with pytest.raises(OptionError, match='the images are of several sizes'):
        effective_receptive_field(model, [torch.rand(1, 3, 8, 8), torch.rand(1, 3, 9, 8)])


def record(folder: Path, key: str) -> Path:
    path = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = [dict(loss=3.0 / step, iter=10 * step, epoch=step, step=10 * step) for step in (1, 2, 3)]
    lines += [{key: 20.0 * step, 'step': step} for step in (1, 2, 3)]
    path.write_text('\n'.join(map(json.dumps, lines)))
    return folder


def test_curves(call, tmp_path):
    runs = [record(tmp_path / 'a', 'mIoU'), record(tmp_path / 'b', 'accuracy/top1')]
    code, _, err = call('analysis_tools/analyze_curves.py', *runs, '--out', tmp_path / 'out')
    assert code == 0, err
    table = results(tmp_path / 'out', 'curves')
    assert {(row['run'], row['what']) for row in table} == {
        ('a', 'loss'),
        ('a', 'mIoU'),
        ('b', 'loss'),
        ('b', 'accuracy/top1'),
    }
    assert [row['value'] for row in table if row['what'] == 'mIoU'] == ['20', '40', '60']

    (tmp_path / 'empty').mkdir()
    for arguments, said in (
        ([tmp_path / 'empty'], 'no training was recorded here'),
        ([runs[0], runs[0]], 'several runs have one name (a, a): give --names'),
        ([runs[0], '--names', 'x', 'y'], '--names: 2 names for 1 runs'),
    ):
        code, _, err = call('analysis_tools/analyze_curves.py', *arguments, '--out', tmp_path / 'out')
        assert code == 2 and said in err
