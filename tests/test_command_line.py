"""What the tools say of options that cannot be read, before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from rsmamba_mm.command_line import Parser, add_raster_arguments, add_train_arguments

# without PyTorch and OpenMMLab an import of them would end in a traceback
CALL = """
import runpy, sys
for name in ('torch', 'mmengine', 'mmcv'):
    sys.modules[name] = None
sys.argv = [{tool!r}, *{options!r}]
runpy.run_path({tool!r}, run_name='__main__')
"""


def said(capsys, *options: str) -> str:
    parser = Parser('train.py')
    parser.add_argument('config')
    add_train_arguments(parser)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(options)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_errors_are_one_sentence(capsys):
    hint = '(train.py --help lists the options)\n'
    message = said(capsys, 'a.py', '--wrk-dir', 'x')
    assert message == (
        f'train.py: error: unrecognized arguments: --wrk-dir x; did you mean --work-dir? {hint}'
    )
    assert said(capsys) == f'train.py: error: the following arguments are required: config {hint}'
    message = said(capsys, 'a.py', '--cfg-options', 'train_cfg.max_epochs')
    assert (
        "--cfg-options: 'train_cfg.max_epochs' is no KEY=VALUE, such as train_cfg.max_epochs=8" in message
    )
    assert 'did you mean --cfg-options?' in said(capsys, 'a.py', '--cfg-option', 'a=8')
    message = said(capsys, 'a.py', '--cfg-options', '=8')
    assert "'=8' is no KEY=VALUE" in message


def test_a_model_of_the_package_stands_for_its_two_files():
    parser = Parser()
    add_raster_arguments(parser)
    args = parser.parse_args(['--areas', 'unetmamba-tiny_dubai', 'a.tif', 'unetmamba-tiny_dubai.tif'])
    folder = Path(args.config).parent
    assert (folder.name, Path(args.config).name) == ('unetmamba-tiny_dubai', 'config.json')
    assert args.checkpoint == str(folder / 'model.safetensors')
    assert (args.src, args.dst) == (['a.tif'], 'unetmamba-tiny_dubai.tif')
    args = parser.parse_args(['--aoi', 'unetmamba-tiny_dubai', 'c.py', 'c.pth', 'a.tif', 'b.tif'])
    assert (args.aoi, args.config) == ('unetmamba-tiny_dubai', 'c.py')  # an option's value stays


def test_a_misspelt_model_is_named_not_a_missing_argument(capsys, tmp_path, monkeypatch):
    parser = Parser()
    add_raster_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['unetmamba-tiny_dubay', 'a.tif', 'b.tif'])
    said = capsys.readouterr().err
    assert 'unetmamba-tiny_dubay is no model of the package: did you mean unetmamba-tiny_dubai?' in said
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'unetmamba-tiny_dubay').mkdir()  # a folder of tiles may be called so
    args = parser.parse_args(
        ['c.py', 'c.pth', 'unetmamba-tiny_dubay', 'b.tif', '--aoi', 'unetmamba-tiny_duby']
    )
    assert (args.src, args.aoi) == (['unetmamba-tiny_dubay'], 'unetmamba-tiny_duby')


def test_config_options_are_read_as_by_mmengine():
    parser = Parser()
    add_train_arguments(parser)
    args = parser.parse_args(['--cfg-options', 'a.b=8', 'c=[1,2.5,x]', '--cfg-options', 'd=None'])
    assert args.cfg_options == {'a.b': 8, 'c': [1, 2.5, 'x'], 'd': None}


@pytest.mark.parametrize(
    ('tool', 'options', 'message'),
    [
        ('train.py', ['--no-such'], 'required: config'),
        ('test.py', ['a.py', 'b.pth', '--shw-dir', 'x'], 'did you mean --show-dir'),
        ('demo.py', ['--epochs', '1'], '--epochs must be at least 2, got 1\n'),
        ('demo.py', ['--data', 'x', '--task', 'segmentation'], 'a segmenter needs masks'),
        ('image_demo.py', [], 'required: IMAGE|FOLDER, config, checkpoint'),
        ('classify_folder.py', ['a.py', 'b.pth', 'c'], 'required: --out'),
        ('segment_raster.py', ['a.py', 'b.pth', 'c.tif', 'd.tif', '--half', 'int8'], 'invalid choice'),
        ('check_dataset.py', ['a.py', '--workers', '0'], '--workers is at least 1'),
        ('model_converters/publish_model.py', [], 'required: config, checkpoint, out_dir'),
    ],
)
def test_tools_refuse_before_they_import(root, tool, options, message):
    call = CALL.format(tool=str(root / 'tools' / tool), options=options)
    result = subprocess.run([sys.executable, '-c', call], capture_output=True, text=True, cwd=root)
    assert result.returncode == 2 and message in result.stderr
    assert result.stderr.startswith(f'{tool.rpartition("/")[2]}: error: ') and 'usage' not in result.stderr
