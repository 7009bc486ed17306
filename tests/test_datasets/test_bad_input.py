"""Each kind of bad data is named, by the check of all files and by a training that stops."""

import gc
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

import bad_input
from bad_input import ACCEPTED, CASES

from rsmamba_mm.datasets.checking import build_leaf, check_dataset, describe
from rsmamba_mm.engine import CheckDataHook
from rsmamba_mm.engine.exact_resume import SeededDataset
from rsmamba_mm.errors import UserError


@pytest.fixture(autouse=True, scope='module')
def quick_collection():
    """MMEngine collects garbage for each data set that it builds: not of all that is imported here."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def faults_of(config: dict, decode: bool) -> str:
    """What is said of a data set, built or not."""
    try:
        dataset, _ = build_leaf(config)
    except UserError as error:
        return str(error)
    checked = check_dataset(
        dataset, decode, train=True, workers=int(config['pipeline'][0]['type'] == 'LoadOddImage'), timeout=1
    )
    return describe(checked.faults, 'it') if checked.faults else ''


def train(config: dict) -> None:
    """As far as the first step of a run would come."""
    dataset, _ = build_leaf(config)
    loader = SimpleNamespace(dataset=SeededDataset(dataset, 0))
    CheckDataHook().before_train(SimpleNamespace(train_dataloader=loader, val_loop=None, cfg={}))


@pytest.mark.parametrize('name', CASES)
def test_bad_data_are_named(name, tmp_path):
    case = CASES[name]
    if 'raster' in name or 'bands' in case.data:
        pytest.importorskip('rasterio')
    bad_input.good(tmp_path, case.data)
    config = bad_input.config(case.data, tmp_path, case.options)
    case.write(tmp_path)
    said = faults_of(config, decode=True)
    assert re.search(case.says, said, re.DOTALL), said
    assert said.count('\n  ') in (0, case.faults), said
    if case.early:
        with pytest.raises(UserError, match=f'(?s){case.says}'):
            train(config)
    else:
        assert faults_of(config, decode=False) == ''


@pytest.mark.parametrize('name', ACCEPTED)
def test_other_data_are_read_right(name, tmp_path):
    data, write, expected = ACCEPTED[name]
    if 'bands' in data:
        pytest.importorskip('rasterio')
    bad_input.good(tmp_path, data)
    write(tmp_path)
    config = bad_input.config(data, tmp_path)
    assert faults_of(config, decode=True) == ''
    train(config)
    if expected is not None:
        dataset, _ = build_leaf(config)
        paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
        image = dataset[next(i for i, path in enumerate(paths) if 'more' in path)]['img'][..., ::-1]
        assert np.abs(image.astype(int) - expected().astype(int)).max() <= 8
