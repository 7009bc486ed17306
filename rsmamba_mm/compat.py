"""The few cures that today's OpenMMLab needs beside today's PyTorch.

Two stacks give the modules ``mmengine``, ``mmcv``, ``mmpretrain`` and ``mmseg``: the maintained
fork (distributions ``onedl-*``) and upstream OpenMMLab. :func:`check_stack` says which one is
installed and :func:`apply` cures what fails in it. Each cure names its reason and does nothing
where it is not needed. Importing this module imports neither PyTorch nor OpenMMLab.
"""

import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from .paths import share
from .threads import limit_threads

# distribution of the maintained fork -> distributions of upstream that bring the same module
_RIVALS = {
    'onedl-mmengine': ('mmengine', 'mmengine-lite'),
    'onedl-mmcv': ('mmcv', 'mmcv-lite'),
    'onedl-mmpretrain': ('mmpretrain',),
    'onedl-mmsegmentation': ('mmsegmentation',),
}

# The first release of transformers beside which `import mmpretrain.models` is not known to work
_TRANSFORMERS_TOO_NEW = {'maintained': (5, 0), 'upstream': (4, 47)}

# How lines of OpenMMLab's begin that tell a user nothing to do, or what another line says
_NOISE = (
    'Could not import OneDL',  # data services of the fork's makers
    '"FileClient" will be deprecated',  # MMEngine's own hooks call it
    '"HardDiskBackend" is the alias',
    'Failed to search registry with scope "mmseg" in the "function" registry tree',  # and finds it
    'Loads checkpoint by ',  # the runner and the tools name the file themselves
)


@cache
def apply() -> None:
    """Apply every cure that the installed stack needs; later calls do nothing.

    Call it before the first import of ``mmpretrain`` or ``mmseg``.

    Raises:
        RuntimeError: If OpenMMLab or OpenCV cannot work as installed. The message says what to do.
    """
    limit_threads()
    stack = check_stack()
    _check_opencv()
    _declare_torchvision_ops()
    _leave_out_noise()
    _skip_multimodal_models(stack)
    _find_configs(stack)
    _launch_without_cuda()
    _right_norm_gradients()
    _read_checkpoints_as_data()
    if stack == 'upstream':
        _stand_in_for_mmcv_ops()


def check_stack() -> str:
    """Tell which OpenMMLab stack is installed.

    Returns:
        str: ``'maintained'`` or ``'upstream'``.

    Raises:
        RuntimeError: If neither is installed, or both are in one environment.
    """
    clashes = [
        (fork, rival)
        for fork, rivals in _RIVALS.items()
        for rival in rivals
        if _release(fork) and _release(rival)
    ]
    if clashes:
        raise RuntimeError(_describe_clashes(clashes))
    if _release('onedl-mmengine'):
        return 'maintained'
    if _release('mmengine') or _release('mmengine-lite'):
        return 'upstream'
    raise RuntimeError(
        'OpenMMLab is not installed: found neither onedl-mmengine (the maintained fork) nor '
        'mmengine (upstream). Install the maintained fork with:\n'
        '    pip install "rsmamba_mm[mm]"'
    )


def _describe_clashes(clashes: list[tuple[str, str]]) -> str:
    installed = [name for fork, rivals in _RIVALS.items() for name in (fork, *rivals) if _release(name)]
    return (
        'Two OpenMMLab stacks are in this environment and overwrite each other: '
        + ', '.join(f'{fork} and {rival}' for fork, rival in clashes)
        + '. Remove both and install one again:\n'
        f'    pip uninstall -y {" ".join(installed)}\n'
        '    pip install "rsmamba_mm[mm]"         # the maintained fork, or\n'
        '    pip install "rsmamba_mm[openmmlab]"  # upstream'
    )


def _release(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _check_opencv() -> None:
    """Say what to do where OpenCV lacks a system library.

    mmcv requires ``opencv-python``, whose windows need libGL: slim images do not have it.
    """
    try:
        importlib.import_module('cv2')
    except ModuleNotFoundError:
        return  # without mmcv nothing needs it
    except ImportError as error:
        raise RuntimeError(
            f'OpenCV cannot be imported ({error}). Either install the system libraries, on Debian '
            'and Ubuntu with:\n'
            '    apt-get install libgl1 libglib2.0-0\n'
            'or take the build of OpenCV that has no windows and needs none:\n'
            '    pip uninstall -y opencv-python\n'
            '    pip install --force-reinstall --no-deps opencv-python-headless'
        ) from error


def _declare_torchvision_ops() -> None:
    """Let a torchvision built for CUDA be imported beside a PyTorch built for the CPU.

    Its library cannot be loaded there, yet its Python code describes two operators of that
    library: the import ends with "operator torchvision::nms does not exist". mmpretrain imports
    torchvision everywhere. Declaring the two is enough; calling them still fails, with
    torchvision's own message.
    """
    spec = find_spec('torchvision')
    if spec is None or 'torchvision' in sys.modules:
        return
    import torch

    library = Path(spec.origin).with_name('_C.so')
    if torch.version.cuda or torch.version.hip or not library.exists():
        return
    try:
        torch.ops.load_library(library)
    except OSError:
        arguments = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
        for op in ('nms', 'qnms'):
            if not hasattr(torch.ops.torchvision, op):
                torch.library.define(f'torchvision::{op}', arguments)


def _leave_out_noise() -> None:
    """Leave out single lines about which a user can do nothing; all other warnings stay."""
    # mmcv without compiled operators, which no model here needs; an inferencer that writes no pictures; a
    # head of mmseg that calls what mmseg deprecates
    ignore = functools.partial(warnings.filterwarnings, 'ignore', category=UserWarning)
    ignore('Fail to import ``MultiScaleDeformableAttention``', module=r'mmcv\.cnn\.')
    ignore('Failed to add .*LocalVisBackend', module=r'mmengine\.visualization\.')
    ignore('``build_loss`` would be deprecated', module=r'mmseg\.models\.')
    # of Python 3.12, when it compiles them, once
    sources = r'.*[/\\]mm(engine|cv|pretrain|seg)[/\\]'
    warnings.filterwarnings('ignore', 'invalid escape sequence', SyntaxWarning, sources)

    from mmengine import logging
    from mmengine.fileio import file_client
    from mmengine.registry import registry
    from mmengine.runner import checkpoint

    print_log = logging.print_log

    @functools.wraps(print_log)
    def print_log_without_noise(msg, *args, **kwargs) -> None:
        if not str(msg).startswith(_NOISE):
            print_log(msg, *args, **kwargs)

    # who imports it later takes it from the first; the others have it already
    for module in (logging, file_client, registry, checkpoint):
        module.print_log = print_log_without_noise


def _skip_multimodal_models(stack: str) -> None:
    """Leave out mmpretrain's multimodal models where they break ``import mmpretrain.models``.

    They are imported as soon as transformers and pycocotools are installed, but newer releases of
    transformers lack names that they use ("NoneType takes no arguments").
    """
    transformers = _release('transformers')
    if not transformers or not _release('pycocotools') or find_spec('mmpretrain') is None:
        return
    if tuple(map(int, transformers.split('.')[:2])) >= _TRANSFORMERS_TOO_NEW[stack]:
        importlib.import_module('mmpretrain.utils.dependency').WITH_MULTIMODAL = False


def _find_configs(stack: str) -> None:
    """Let ``_base_ = 'mmseg::…'`` and ``_base_ = 'rsmamba_mm::…'`` be found.

    MMEngine does not know the fork's distribution of mmseg, nor this package. What the configs of a
    known package hold is built in the registry of that name; this package registers in the root
    registries and has none, so its configs are taken like those of one's own.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    if stack == 'maintained':
        MODULE2PACKAGE['mmseg'] = 'mmseg'

    configs = share() / 'configs'
    get_cfg_path = Config._get_cfg_path

    def get_own_cfg_path_too(cfg_path: str, filename: str) -> tuple[str, str | None]:
        name, _, path = cfg_path.partition('::')
        if name == __package__:
            return str(configs / path), None
        return get_cfg_path(cfg_path, filename)

    Config._get_cfg_path = staticmethod(get_own_cfg_path_too)


def _launch_without_cuda() -> None:
    """Let ``--launcher pytorch`` and ``slurm`` with the gloo backend run on a machine without CUDA.

    MMEngine selects a CUDA device for the process whatever the backend.
    """
    from mmengine.dist import utils

    def on_cpu_too(launch: Callable) -> Callable:
        def launch_on_cpu_too(backend: str, *args, **kwargs) -> None:
            import torch

            if backend != 'gloo' or torch.cuda.is_available():
                return launch(backend, *args, **kwargs)
            set_device = torch.cuda.set_device
            torch.cuda.set_device = lambda device: None
            try:
                return launch(backend, *args, **kwargs)
            finally:
                torch.cuda.set_device = set_device

        return launch_on_cpu_too

    for name in ('_init_dist_pytorch', '_init_dist_slurm'):
        setattr(utils, name, on_cpu_too(getattr(utils, name)))


def _right_norm_gradients() -> None:
    """Let the gradients of batch and instance normalisation be right on the CPU.

    PyTorch's backward reads the incoming gradient as if it lay in memory as the input does. The two differ
    unnoticed where strides are ambiguous: in a batch of one whose gradient comes channels last, as behind
    norm → ``flatten(2).mT``; in instance normalisation, which makes its input a batch of one; and in images
    one pixel high or wide. The gradients are finite, and wrong by more than their size. Here the gradient
    is laid out as the input before it gets there. Compiled code has a backward of its own, which is right.
    """
    if not _norm_gradient_is_wrong():
        return
    from torch.nn import functional as F

    F.batch_norm = _with_gradient_like_input(F.batch_norm)
    # works on a contiguous copy of its input
    F.instance_norm = _with_gradient_like_input(F.instance_norm, contiguous=True)


def _norm_gradient_is_wrong() -> bool:
    """Whether the layout of the gradient changes what normalisation makes of it; a millisecond."""
    import torch

    x = torch.linspace(-1, 2, 24).square().view(1, 2, 3, 4).requires_grad_()
    gradient = torch.linspace(0, 3, 24).sin().view(1, 2, 3, 4)
    y = torch.nn.functional.batch_norm(x, None, None, training=True)
    right, found = (
        torch.autograd.grad(y, x, g, retain_graph=True)[0]
        for g in (gradient, gradient.flatten(2).mT.contiguous().mT.view_as(gradient))
    )
    return not torch.allclose(right, found, atol=1e-4)


def _with_gradient_like_input(normalise: Callable, contiguous: bool = False) -> Callable:
    """A normalisation whose gradient arrives in the memory layout of its input."""
    import torch

    @functools.wraps(normalise)
    def with_gradient_like_input(input: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        y = normalise(input, *args, **kwargs)
        if y.requires_grad and y.device.type == 'cpu' and not torch.compiler.is_compiling():
            strides = torch.empty(input.shape, device='meta').stride() if contiguous else input.stride()
            y.register_hook(
                lambda g: g if g.stride() == strides else g.new_empty_strided(g.shape, strides).copy_(g)
            )
        return y

    return with_gradient_like_input


def _crop_figures() -> None:
    """Let mmpretrain's ``browse_dataset`` crop its figures with matplotlib 3.11.

    It calls a function that matplotlib keeps to itself, and that asks for the renderer since then.
    """
    try:
        from matplotlib import _tight_bbox
    except ImportError:
        return
    adjust = getattr(_tight_bbox, 'adjust_bbox', None)
    if adjust is None or 'renderer' not in inspect.signature(adjust).parameters:
        return

    def adjust_bbox(fig, bbox_inches, renderer=None, fixed_dpi=None):
        return adjust(fig, bbox_inches, renderer or fig.canvas.get_renderer(), fixed_dpi)

    _tight_bbox.adjust_bbox = adjust_bbox


def apply_to_tools(script: str) -> None:
    """Apply the cures that OpenMMLab's own tools need, beside those of :func:`apply`.

    Args:
        script (str): Name of the tool; those that draw class activation maps have ``cam`` in it.
    """
    _crop_figures()
    if 'cam' in script and find_spec('pytorch_grad_cam') is not None:
        _let_cams_find_the_device()
    if check_stack() == 'upstream':
        _count_flops_of_inputs()
        if find_spec('mmseg') is not None:
            _draw_masks_on_any_layout()


def _let_cams_find_the_device() -> None:
    """Let upstream's tools draw class activation maps with grad-cam 1.5.

    Its classes see for themselves where the model is, and take no ``use_cuda`` any more.
    """
    import pytorch_grad_cam

    base = pytorch_grad_cam.GradCAM.__mro__[1]
    for cam in vars(pytorch_grad_cam).values():
        if not inspect.isclass(cam) or not issubclass(cam, base):
            continue
        if 'use_cuda' not in inspect.signature(cam).parameters:
            cam.__init__ = _without_use_cuda(cam.__init__)


def _without_use_cuda(init: Callable) -> Callable:
    @functools.wraps(init)
    def without_use_cuda(self, *args, use_cuda: bool = False, **kwargs) -> None:
        init(self, *args, **kwargs)

    without_use_cuda.__signature__ = inspect.signature(without_use_cuda, follow_wrapped=False)
    return without_use_cuda


def _count_flops_of_inputs() -> None:
    """Let upstream mmseg's ``get_flops`` give its input and the shape of it, which MMEngine refuses."""
    from mmengine import analysis

    count = analysis.get_model_complexity_info

    @functools.wraps(count)
    def count_of_inputs(model, input_shape=None, inputs=None, **kwargs) -> dict:
        return count(model, None if inputs is not None else input_shape, inputs, **kwargs)

    analysis.get_model_complexity_info = count_of_inputs


def _draw_masks_on_any_layout() -> None:
    """Let upstream mmseg draw the masks of an image that is transposed in memory.

    Its ``browse_dataset`` turns tensors into images so, and OpenCV does not draw on that layout.
    """
    import numpy as np
    from mmseg.visualization import SegLocalVisualizer

    draw = SegLocalVisualizer._draw_sem_seg

    @functools.wraps(draw)
    def draw_on_any_layout(self, image: np.ndarray, *args, **kwargs) -> np.ndarray:
        return draw(self, np.ascontiguousarray(image), *args, **kwargs)

    SegLocalVisualizer._draw_sem_seg = draw_on_any_layout


def _stand_in_for_mmcv_ops() -> None:
    """Put a module in the place of mmcv's compiled operators where mmcv has none (mmcv-lite).

    Upstream mmseg imports a few of them unguarded, so ``import mmseg.models`` fails although the
    models used here need none.
    """
    spec = find_spec('mmcv')
    if spec is None or any(Path(spec.origin).parent.glob('_ext.*')):
        return
    sys.modules.setdefault('mmcv._ext', _MissingOps('mmcv._ext'))


class _MissingOps(ModuleType):
    """A module that has every operator, none of which can be called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, loader=None)  # mmcv's search for its operators finds none

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)
        if name in ('get_compiler_version', 'get_compiling_cuda_version'):
            return lambda: 'n/a'  # asked by mmcv's report of the environment

        def fail(*args, **kwargs):
            raise RuntimeError(
                f'The operator {name!r} of mmcv is not compiled in this environment (mmcv-lite '
                'has none). Choose a model that does not need it, or replace mmcv-lite by '
                'mmcv<2.2, which has to be built for the installed PyTorch.'
            )

        return fail


def _read_checkpoints_as_data() -> None:
    """Let loading a checkpoint run nothing that is in it.

    The maintained fork unpickles what PyTorch's safe loader refuses, and upstream what it fetches; both run
    the config text in a checkpoint. See :mod:`rsmamba_mm.safe_loading`.
    """
    from .safe_loading import install

    install()
