"""The backend on mamba_ssm's kernel, with a stand-in for the kernel, and its probe."""

import importlib.machinery
import re
import sys
from types import ModuleType

import pytest
import torch
from test_scan import assert_close, check_rounding_of_the_gate, run, scan_inputs

from rsmamba_mm.ops import BACKENDS, make_orders, register_backend
from rsmamba_mm.ops.backends import ScanInputs, mamba_ssm, reference, torch_chunked, verification
from rsmamba_mm.ops.testing import exact_scan

CHUNK = 2048


def _scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus):
    """The kernel's contract by the reference, one group of channels as one path."""
    groups = B.shape[1]
    u, delta = (x.unflatten(1, (groups, -1)).mT for x in (u, delta))
    A, D, delta_bias = (None if x is None else x.unflatten(0, (groups, -1)) for x in (A, D, delta_bias))
    scan = ScanInputs(u, delta, A, B.mT, C.mT, D, delta_bias, delta_softplus=delta_softplus)
    y, last = reference.scan(scan)
    return y.mT.flatten(1, 2), last.flatten(1, 2)


def _check(u, delta, A, B, C, D, z, delta_bias):
    assert z is None and A.dtype == torch.float32
    assert all(x.dtype == u.dtype for x in (delta, B, C))
    assert all(x.is_contiguous() for x in (u, delta, A, B, C))
    assert all(x is None or (x.dtype == torch.float32 and x.dim() == 1) for x in (D, delta_bias))


def stand_in() -> ModuleType:
    """``selective_scan_cuda``: outputs, and the states after each 2048 steps beside products of decays."""
    kernel = ModuleType('selective_scan_cuda')
    kernel.__spec__ = importlib.machinery.ModuleSpec('selective_scan_cuda', None)

    def fwd(*arguments):
        _check(*arguments[:8])
        u, delta, A, B, C, *rest = arguments
        y, _ = _scan(*arguments)
        ends = []
        for start in range(CHUNK, u.shape[2] + CHUNK, CHUNK):
            ends.append(
                _scan(u[..., :start], delta[..., :start], A, B[..., :start], C[..., :start], *rest)[1]
            )
        ends = torch.stack(ends, 2)
        return y, torch.stack([torch.full_like(ends, torch.nan), ends], -1).flatten(3)

    def bwd(u, delta, A, B, C, D, z, delta_bias, grad_y, x, out, grad_z, softplus, recompute):
        _check(u, delta, A, B, C, D, z, delta_bias)
        assert (out, grad_z, recompute) == (None, None, False) and grad_y.dtype == u.dtype
        # of the states it is given it reads those before each chunk but the first
        expected = fwd(u, delta, A, B, C, D, z, delta_bias, softplus)[1]
        assert x.shape == expected.shape
        torch.testing.assert_close(x[:, :, :-1, 1::2], expected[:, :, :-1, 1::2])
        groups = B.shape[1]
        u, delta, grad_y = (t.unflatten(1, (groups, -1)).mT for t in (u, delta, grad_y))
        A, D, delta_bias = (None if t is None else t.unflatten(0, (groups, -1)) for t in (A, D, delta_bias))
        scan = ScanInputs(u, delta, A, B.mT, C.mT, D, delta_bias, delta_softplus=softplus)
        *_, kept = torch_chunked.scan_forward(scan, True)
        du, ddelta, dA, dB, dC, dD, dbias = torch_chunked.scan_backward(scan, grad_y, None, kept)
        dbias = None if delta_bias is None else dbias
        du, ddelta = (t.mT.flatten(1, 2).to(u.dtype) for t in (du, ddelta))
        dA, dD, dbias = (None if t is None else t.flatten(0, 1) for t in (dA, dD, dbias))
        return du, ddelta, dA, dB.mT, dC.mT, dD, dbias

    kernel.fwd, kernel.bwd = fwd, bwd
    return kernel


@pytest.fixture
def kernel(monkeypatch):
    """The stand-in installed, and the backend allowed on the CPU."""
    monkeypatch.setitem(sys.modules, 'selective_scan_cuda', stand_in())
    entry = BACKENDS['mamba_ssm']
    register_backend('mamba_ssm', entry.module, devices=('cpu',), asked=('cpu',))
    yield
    register_backend(
        'mamba_ssm', entry.module, devices=entry.devices, priority=entry.priority, probe=entry.probe
    )


@pytest.mark.parametrize(
    ('dtype', 'shared', 'one_u', 'ordered', 'softplus', 'optional'),
    [
        (torch.float32, True, False, True, True, True),
        (torch.float32, False, True, True, True, True),
        (torch.float32, True, False, False, True, False),
        (torch.bfloat16, False, False, True, True, True),
    ],
)
def test_gather_scatter_and_gradients(kernel, dtype, shared, one_u, ordered, softplus, optional):
    inputs = scan_inputs(2, 3, 19, 6, 4, dtype, shared=shared, one_u=one_u)
    if not optional:
        inputs['D'] = inputs['delta_bias'] = None
    orders = make_orders(['shuffle', 'reverse', 'forward'], 1, 19) if ordered else None
    assert_equal(inputs, dict(orders=orders, delta_softplus=softplus), dtype)


def assert_equal(inputs, options, dtype=torch.float32):
    """As the reference, but for the gradient of the last state, which the kernel has not."""
    exact = exact_scan(inputs, last_weight=0.0, **options)
    ours = run(inputs, 'mamba_ssm', last_weight=0.0, **options)
    assert_close(ours, exact, dtype)


def test_states_between_chunks(kernel):
    inputs = scan_inputs(1, 1, CHUNK + 3, 2, 2, torch.float32)
    assert_equal(inputs, dict(orders=None, delta_softplus=True))


def test_low_rank_steps(kernel):
    inputs = scan_inputs(1, 2, 7, 6, 3, torch.float32)
    inputs['delta'] = inputs['delta'].detach()[..., :2].requires_grad_()
    inputs['delta_weight'] = torch.randn(6, 2).requires_grad_()
    assert_equal(inputs, dict(orders=make_orders(['forward', 'reverse'], 1, 7), delta_softplus=True))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_the_gate_comes_before_the_rounding(kernel, dtype):
    check_rounding_of_the_gate('mamba_ssm', dtype)


def test_refusals(kernel):
    inputs = scan_inputs(1, 1, 5, 3, 2, torch.float32)
    with pytest.raises(RuntimeError, match='no gradient through the last state'):
        run(inputs, 'mamba_ssm', delta_softplus=True)
    with pytest.raises(RuntimeError, match='up to 256 states and no float64'):
        run(scan_inputs(1, 1, 5, 3, 2, torch.float64), 'mamba_ssm', delta_softplus=True)


# the probe --------------------------------------------------------------------------------------


class Finder:
    """Makes an import fail with an error."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, *_):
        if name == 'selective_scan_cuda':
            raise self.error


def missing(name='selective_scan_cuda'):
    return ModuleNotFoundError(f'No module named {name!r}', name=name)


BUILD = r'MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE pip install .* mamba-ssm'


@pytest.mark.parametrize(
    ('error', 'installed', 'message'),
    [
        (missing(), False, rf'package mamba-ssm is not installed.*{BUILD}'),
        (missing(), True, rf'installed without its Mamba-1 kernel \(selective_scan_cuda\).*{BUILD}'),
        (
            ImportError('selective_scan_cuda.so: undefined symbol: _ZN3c10'),
            True,
            rf'built against another PyTorch than the {torch.__version__.replace("+", ".")}.*{BUILD}',
        ),
        (ImportError('libcudart.so.12: cannot open'), True, rf'cannot be loaded \(libcudart.*{BUILD}'),
    ],
    ids=['package', 'extension', 'abi', 'library'],
)
def test_import_failures_name_their_cure(monkeypatch, error, installed, message):
    monkeypatch.delitem(sys.modules, 'selective_scan_cuda', raising=False)
    monkeypatch.setattr(sys, 'meta_path', [Finder(error), *sys.meta_path])
    find = mamba_ssm.importlib.util.find_spec
    monkeypatch.setattr(
        mamba_ssm.importlib.util, 'find_spec', lambda name: installed if name == 'mamba_ssm' else find(name)
    )
    if not installed:
        monkeypatch.setattr(mamba_ssm.importlib.util, 'find_spec', lambda name: None)
    reason = mamba_ssm.probe()
    assert re.search(message, reason), reason


@pytest.mark.parametrize(
    ('behaviour', 'message'),
    [
        (
            RuntimeError('CUDA error: no kernel image is available for execution'),
            r'built for other GPUs than Some GPU .*: .* this one, tools/build_peer\.sh 9\.0 FOLDER',
        ),
        (
            RuntimeError('CUDA error: misaligned address'),
            rf'fails when run \(CUDA error: misaligned.*{BUILD}',
        ),
        (TypeError('fwd(): incompatible function arguments'), rf'takes other arguments.*{BUILD}'),
        (1.01, rf'gives wrong results.*{BUILD}'),
        (None, None),
    ],
    ids=['image', 'error', 'arguments', 'wrong', 'right'],
)
def test_the_kernel_is_compared_before_it_is_trusted(monkeypatch, tmp_path, behaviour, message):
    kernel = stand_in()
    kernel.__file__ = __file__
    right = kernel.fwd

    def fwd(*arguments):
        if isinstance(behaviour, Exception):
            raise behaviour
        y, x = right(*arguments)
        return (y if behaviour is None else y * behaviour), x

    kernel.fwd = fwd
    monkeypatch.setitem(sys.modules, 'selective_scan_cuda', kernel)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda *_: 'Some GPU')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda *_: (9, 0))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setenv('RSMAMBA_CACHE_DIR', str(tmp_path))
    fault = verification.fault('on trial', 'cpu', lambda: mamba_ssm)
    verification.forget('on trial')
    if message is None:
        assert fault is None
    else:
        assert re.search(message, fault), fault
        assert 'TORCH_CUDA_ARCH_LIST' not in fault  # which mamba-ssm does not read


def test_without_a_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, 'selective_scan_cuda', stand_in())
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.version, 'cuda', None)
    assert 'is built without CUDA: install a CUDA build' in mamba_ssm.probe()
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    assert 'finds no NVIDIA GPU: nvidia-smi' in mamba_ssm.probe()
