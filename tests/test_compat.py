"""The cures, each on what fails without it, and the messages for people."""

import itertools
import os
import subprocess
import sys
from importlib import import_module, metadata
from importlib.util import find_spec

import pytest

from rsmamba_mm import compat, trusted_types

torch = pytest.importorskip('torch')
pytest.importorskip('mmengine')

STACK = compat.check_stack()
on_upstream = pytest.mark.skipif(STACK != 'upstream', reason='only upstream needs this cure')


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly the given distributions are installed."""

    def pretend(*names: str, **versions: str) -> None:
        table = {**dict.fromkeys(names, '1.0'), **versions}

        def version(name: str) -> str:
            if name not in table:
                raise metadata.PackageNotFoundError(name)
            return table[name]

        monkeypatch.setattr(compat, 'version', version)

    return pretend


def run(code: str) -> subprocess.CompletedProcess:
    """Run code in an interpreter of its own."""
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


class TestCheckStack:
    @pytest.mark.parametrize(
        ('names', 'stack'),
        [
            (['onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain'], 'maintained'),
            (['onedl-mmengine', 'onedl-mmsegmentation'], 'maintained'),
            (['mmengine', 'mmcv-lite', 'mmpretrain', 'mmsegmentation'], 'upstream'),
            (['mmengine-lite', 'mmcv', 'mmsegmentation'], 'upstream'),
        ],
    )
    def test_names_the_stack(self, installed, names, stack):
        installed(*names)
        assert compat.check_stack() == stack

    def test_neither(self, installed):
        installed('torch')
        with pytest.raises(RuntimeError, match='OpenMMLab is not installed') as error:
            compat.check_stack()
        assert 'pip install "rsmamba_mm[mm]"' in str(error.value)

    def test_both(self, installed):
        installed('onedl-mmengine', 'onedl-mmcv', 'mmengine', 'mmcv-lite', 'mmpretrain')
        with pytest.raises(RuntimeError) as error:
            compat.check_stack()
        message = str(error.value)
        assert 'onedl-mmengine and mmengine, onedl-mmcv and mmcv-lite' in message
        assert 'pip uninstall -y onedl-mmengine mmengine onedl-mmcv mmcv-lite mmpretrain\n' in message
        assert 'pip install "rsmamba_mm[openmmlab]"' in message

    def test_apply_checks_first(self, installed):
        installed()
        with pytest.raises(RuntimeError, match='not installed'):
            compat.apply.__wrapped__()


def test_import_is_light():
    result = run(
        'import sys, rsmamba_mm.compat; '
        'print([m for m in ("torch", "mmengine", "mmcv", "cv2", "numpy") if m in sys.modules])'
    )
    assert result.stdout.strip() == '[]', result.stderr


# ends with the first import that counts: the rest takes seconds
FIRST = """
import os
import sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("rsmamba_mm._openmmlab", "cv2", "mmengine", "mmcv", "mmpretrain", "mmseg"):
            print(name, flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
{}
"""


@pytest.mark.smoke
@pytest.mark.parametrize(
    'name', ['apis', 'datasets', 'datasets.folder', 'engine', 'evaluation', 'layers', 'models']
)
def test_cures_come_before_openmmlab_and_opencv(name):
    result = run(FIRST.format(f'import rsmamba_mm.{name}'))
    assert result.stdout.splitlines()[-1:] == ['rsmamba_mm._openmmlab'], result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    'tool',
    [
        'analysis_tools/benchmark_segmenter.py',
        'analysis_tools/model_table.py',
        'dataset_converters/isprs_tiles.py',
        'model_converters/released_to_mm.py',
    ],
)
def test_cures_come_first_in_tools(root, tool):
    path = root / 'tools' / tool
    call = f'import runpy; sys.path.insert(0, {str(path.parent)!r}); runpy.run_path({str(path)!r})'
    result = run(FIRST.format(call))
    assert result.stdout.splitlines()[-1:] == ['rsmamba_mm._openmmlab'], result.stderr


def test_other_packages_say_nothing_that_a_user_cannot_mend(capsys):
    from mmengine.fileio import file_client
    from mmengine.logging import print_log

    print_log('Could not import OneDL', level=10)
    file_client.print_log('"FileClient" will be deprecated in future.')
    print_log('this stays')
    assert capsys.readouterr().out == 'this stays\n'


@pytest.mark.slow
@pytest.mark.smoke
def test_imports_are_silent():
    result = run(
        'import rsmamba_mm.models, rsmamba_mm.datasets, rsmamba_mm.engine\n'
        'from mmpretrain import ImageClassificationInferencer\n'
        'from mmseg.apis import MMSegInferencer'
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_apply_twice_changes_nothing():
    from mmengine.dist import utils

    compat.apply()
    launch = utils._init_dist_pytorch
    compat.apply()
    assert utils._init_dist_pytorch is launch


def test_torchvision_ops_are_declared_once(monkeypatch):
    compat.apply()
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    compat._declare_torchvision_ops()


def test_opencv_without_system_library(monkeypatch):
    def fail(name):
        raise ImportError('libGL.so.1: cannot open shared object file')

    monkeypatch.setattr(compat.importlib, 'import_module', fail)
    with pytest.raises(RuntimeError, match=r'libGL\.so\.1') as error:
        compat._check_opencv()
    assert 'apt-get install libgl1' in str(error.value)
    assert 'opencv-python-headless' in str(error.value)


def test_no_opencv_is_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    compat._check_opencv()


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize(
    'name', ['torchvision', 'mmpretrain.models', 'mmpretrain.apis', 'mmseg.models', 'mmseg.apis']
)
def test_imports(name):
    if find_spec(name.partition('.')[0]) is None:
        pytest.skip(f'needs {name}')
    result = run(f'from rsmamba_mm import compat; compat.apply(); import {name}')
    assert result.returncode == 0, result.stderr


class TestMultimodal:
    @pytest.fixture
    def dependency(self, monkeypatch):
        pytest.importorskip('mmpretrain')
        dependency = import_module('mmpretrain.utils.dependency')
        monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
        return dependency

    @pytest.mark.parametrize(
        ('stack', 'transformers', 'kept'),
        [
            ('maintained', '4.57.6', True),
            ('maintained', '5.0.0', False),
            ('upstream', '4.46.3', True),
            ('upstream', '4.53.3', False),
        ],
    )
    def test_left_out_where_it_breaks(self, dependency, installed, stack, transformers, kept):
        installed('pycocotools', transformers=transformers)
        compat._skip_multimodal_models(stack)
        assert dependency.WITH_MULTIMODAL is kept

    def test_untouched_without_transformers(self, dependency, installed):
        installed('pycocotools')
        compat._skip_multimodal_models('upstream')
        assert dependency.WITH_MULTIMODAL


class TestConfigs:
    def test_mmseg(self, tmp_path):
        pytest.importorskip('mmseg')
        from mmengine.config import Config

        compat.apply()
        path = tmp_path / 'config.py'
        path.write_text("_base_ = 'mmseg::_base_/default_runtime.py'\n")
        assert Config.fromfile(path).default_scope == 'mmseg'

    def test_this_package(self, tmp_path):
        from mmengine.config import Config

        compat.apply()
        path = tmp_path / 'config.py'
        path.write_text("_base_ = 'rsmamba_mm::_base_/models/rsmamba.py'\n")
        config = Config.fromfile(path)
        assert config.model.backbone.type == 'RSMamba'
        assert '_scope_' not in config.model

    def test_this_package_has_no_such_config(self, tmp_path):
        from mmengine.config import Config

        compat.apply()
        path = tmp_path / 'config.py'
        path.write_text("_base_ = 'rsmamba_mm::none/such.py'\n")
        with pytest.raises(FileNotFoundError, match=r'none/such\.py'):
            Config.fromfile(path)


class TestLaunchWithoutCuda:
    @pytest.fixture
    def launch(self, monkeypatch):
        """The launcher of MMEngine, replaced by one that selects device 3 and notes it."""
        from mmengine.dist import utils

        selected = []
        monkeypatch.setattr(torch.cuda, 'set_device', selected.append)
        monkeypatch.setattr(utils, '_init_dist_pytorch', lambda backend, **kwargs: torch.cuda.set_device(3))
        compat._launch_without_cuda()
        return lambda backend: (utils._init_dist_pytorch(backend), selected)[1]

    @pytest.mark.parametrize(
        ('backend', 'cuda', 'selected'),
        [('gloo', False, []), ('gloo', True, [3]), ('nccl', False, [3])],
    )
    def test_selects_a_device_where_there_is_one(self, launch, monkeypatch, backend, cuda, selected):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
        set_device = torch.cuda.set_device
        assert launch(backend) == selected
        assert torch.cuda.set_device is set_device

    @pytest.mark.slow
    def test_gloo(self):
        result = run(
            'import os\n'
            'os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1",'
            ' MASTER_PORT="0", CUDA_VISIBLE_DEVICES="")\n'
            'from rsmamba_mm import compat; compat.apply()\n'
            'from mmengine.dist import get_backend, init_dist\n'
            'init_dist("pytorch", backend="gloo"); print(get_backend())'
        )
        assert result.stdout.strip().endswith('gloo'), result.stderr


class TestMissingOps:
    @pytest.fixture
    def ops(self):
        return compat._MissingOps('mmcv._ext')

    def test_calling_one_says_what_to_do(self, ops):
        with pytest.raises(RuntimeError, match="'roi_align_forward' of mmcv is not compiled"):
            ops.roi_align_forward(1, out=2)

    def test_is_a_plain_module_otherwise(self, ops):
        assert ops.get_compiler_version() == 'n/a'
        assert not hasattr(ops, '__file__')

    @on_upstream
    def test_mmcv_still_knows_that_it_has_none(self):
        mmcv = pytest.importorskip('mmcv')
        if any(name.startswith('_ext.') for name in os.listdir(os.path.dirname(mmcv.__file__))):
            pytest.skip('this mmcv has operators')
        compat.apply()
        assert find_spec('mmcv._ext').loader is None


class TestCheckpoints:
    @pytest.fixture
    def path(self, tmp_path):
        """A checkpoint with what MMEngine's message hub and optimizer put into it."""
        import numpy as np
        from mmengine.logging import HistoryBuffer

        parameter = torch.nn.Parameter(torch.ones(2))
        parameter.grad = torch.ones(2)
        optimizer = torch.optim.AdamW([parameter])
        optimizer.step()
        path = tmp_path / 'epoch_1.pth'
        hub = {
            'log_scalars': {'train/loss': HistoryBuffer([0.5, 0.25], [1, 1])},
            'runtime_info': {'best_score': np.float32(0.5), 'iter': 3},
        }
        torch.save({'message_hub': hub, 'optimizer': optimizer.state_dict()}, path)
        return path

    @pytest.mark.smoke
    @pytest.mark.slow
    def test_mmengine_reads_its_own(self, path):
        # in a process of its own: no HistoryBuffer has been made there
        result = run(
            'from rsmamba_mm import compat; compat.apply()\n'
            'from mmengine.runner.checkpoint import _load_checkpoint\n'
            f'hub = _load_checkpoint({str(path)!r})["message_hub"]\n'
            'print(hub["log_scalars"]["train/loss"].statistics("mean"))'
        )
        assert result.stdout.strip().endswith('0.375'), result.stderr

    def test_still_read_after_mmengine_has_read_one(self, path):
        from mmengine.runner.checkpoint import _load_checkpoint

        compat.apply()
        _load_checkpoint(str(path))
        assert torch.load(path)['message_hub']['runtime_info']['best_score'] == 0.5

    @on_upstream
    def test_written_with_numpy_1(self, path, tmp_path):
        import zipfile

        compat.apply()
        old = tmp_path / 'old.pth'
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, 'w') as target:
            for name in source.namelist():
                data = source.read(name).replace(b'numpy._core.', b'numpy.core.')
                target.writestr(name, data)
        assert b'numpy.core.' in zipfile.ZipFile(old).read('epoch_1/data.pkl')
        assert torch.load(old)['message_hub']['runtime_info']['best_score'] == 0.5

    @on_upstream
    def test_code_stays_refused(self, tmp_path):
        import pickle

        class Intruder:
            def __reduce__(self):
                return os.getcwd, ()

        compat.apply()
        torch.save(Intruder(), tmp_path / 'intruder.pth')
        with pytest.raises(pickle.UnpicklingError, match='Weights only load failed'):
            torch.load(tmp_path / 'intruder.pth')

    def test_no_attribute_of_anything_else(self):
        from mmengine.logging import HistoryBuffer

        assert trusted_types._statistic(HistoryBuffer, 'mean') is HistoryBuffer.mean
        for owner, name in [(HistoryBuffer, '__init__'), (os, 'system')]:
            with pytest.raises(ValueError, match='must not'):
                trusted_types._statistic(owner, name)


class TestNormGradients:
    """Right whatever the layout of the gradient, also where PyTorch's own depend on it."""

    LAYERS = dict(
        batch=torch.nn.BatchNorm2d,
        batch_eval=lambda channels: torch.nn.BatchNorm2d(channels).eval(),
        batch_3d=torch.nn.BatchNorm3d,
        instance=torch.nn.InstanceNorm2d,
        instance_affine=lambda channels: torch.nn.InstanceNorm2d(channels, affine=True),
        instance_3d=torch.nn.InstanceNorm3d,
        # not cured: right by themselves
        batch_1d=torch.nn.BatchNorm1d,
        group=lambda channels: torch.nn.GroupNorm(2, channels),
    )

    @pytest.mark.parametrize('sizes', [(5, 7), (1, 7), (5, 1)], ids=str)
    @pytest.mark.parametrize('batch', [1, 2])
    @pytest.mark.parametrize('name', LAYERS)
    def test_layouts(self, name, batch, sizes):
        compat.apply()
        layer = self.LAYERS[name](4)
        sizes = (3, *sizes) if '3d' in name else (35,) if '1d' in name else sizes
        torch.manual_seed(0)
        values, gradient = torch.randn(2, batch, 4, *sizes).double()
        exact = values.clone().requires_grad_()
        (expected,) = torch.autograd.grad(self.LAYERS[name](4).double()(exact), exact, gradient)
        layouts = list(itertools.permutations(range(values.dim())))
        for x_layout, g_layout in itertools.product(layouts[:: len(layouts) // 6], layouts):
            x = _laid_out(values.float(), x_layout).requires_grad_()
            (found,) = torch.autograd.grad(layer(x), x, _laid_out(gradient.float(), g_layout))
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)

    def test_nothing_is_done_where_pytorch_is_right(self, monkeypatch):
        functional = torch.nn.functional
        before = functional.batch_norm, functional.instance_norm
        monkeypatch.setattr(compat, '_norm_gradient_is_wrong', lambda: False)
        compat._right_norm_gradients()
        assert (functional.batch_norm, functional.instance_norm) == before

    def test_second_derivatives(self):
        compat.apply()
        layer = torch.nn.BatchNorm2d(2).double()
        x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradgradcheck(lambda x: layer(x).flatten(2).mT, x)


def _laid_out(x, order):
    """Equal, and in memory in this order of dimensions."""
    return x.permute(order).contiguous().permute([order.index(d) for d in range(x.dim())])


class TestTools:
    """The cures of upstream's tools, which change nothing where they are not needed."""

    @pytest.fixture(autouse=True)
    def _uncured_afterwards(self, monkeypatch):
        from mmengine import analysis

        monkeypatch.setattr(analysis, 'get_model_complexity_info', analysis.get_model_complexity_info)

    def test_flops_of_inputs(self):
        from mmengine import analysis

        compat._count_flops_of_inputs()
        model, sizes = torch.nn.Linear(3, 2), (4, 3)
        quiet = dict(show_table=False, show_arch=False)
        for arguments in [dict(inputs=torch.ones(1, *sizes)), dict(input_shape=sizes)]:
            assert analysis.get_model_complexity_info(model, **arguments, **quiet)['flops'] == 4 * 3 * 2
        found = analysis.get_model_complexity_info(model, sizes, inputs=torch.ones(1, *sizes), **quiet)
        assert found['flops'] == 4 * 3 * 2

    def test_masks_are_drawn_on_any_layout(self, monkeypatch):
        pytest.importorskip('mmseg')
        import numpy as np
        from mmengine.structures import PixelData
        from mmseg.visualization import SegLocalVisualizer

        draw = SegLocalVisualizer._draw_sem_seg
        monkeypatch.setattr(SegLocalVisualizer, '_draw_sem_seg', draw)
        compat._draw_masks_on_any_layout()
        image = np.zeros((3, 40, 60), np.uint8).transpose(1, 2, 0)
        mask = PixelData(data=torch.ones(1, 40, 60, dtype=torch.long))
        drawn = SegLocalVisualizer(alpha=1.0)._draw_sem_seg(image, mask, ['a', 'b'], [[1, 2, 3], [7, 8, 9]])
        assert drawn.shape == (40, 60, 3) and drawn[0, 0].tolist() == [7, 8, 9]

    def test_cams_find_the_device(self, monkeypatch):
        cams = pytest.importorskip('pytorch_grad_cam')
        model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(18, 2))
        for name in ('GradCAM', 'LayerCAM'):
            monkeypatch.setattr(getattr(cams, name), '__init__', getattr(cams, name).__init__)
        compat._let_cams_find_the_device()
        for cam in (cams.GradCAM, cams.LayerCAM):
            cam = cam(model=model, target_layers=[model[0]], use_cuda=False)
            assert cam(torch.rand(1, 1, 5, 5), targets=None).shape == (1, 5, 5)
            assert cam.target_layers == [model[0]]


def test_models_run_beside_a_pytorch_that_exports_nothing():
    """PyTorch before 2.7 does not say whether it exports, and has no node for a scan before 2.6."""
    code = (
        'import sys, torch; del torch.compiler.is_exporting;'
        'sys.modules["torch._higher_order_ops.scan"] = None;'
        'import rsmamba_mm.models; from rsmamba_mm.models import MambaSegDecoder, ResT;'
        'from rsmamba_mm.ops import use_backend; torch.set_grad_enabled(False);'
        'rest = ResT(dict(embed_dims=(8, 16, 24, 32), num_heads=(1, 2, 2, 2), depths=(1,) * 4,'
        ' sr_ratios=(8, 4, 2, 1))).eval();'
        'neck = MambaSegDecoder((8, 16, 24, 32), depths=(1, 1, 1)).eval(); use_backend("reference");'
        'print(*neck(rest(torch.rand(1, 3, 32, 32)))[-1].shape)'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-4:] == ['1', '8', '32', '32']
