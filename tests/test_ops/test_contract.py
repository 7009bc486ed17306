"""What a scan's inputs say of themselves, and what they refuse."""

import dataclasses

import pytest
import torch

from rsmamba_mm.ops import build, compute_dtype, numerics
from rsmamba_mm.ops.backends import ScanInputs, mamba_ssm, probes, reference
from rsmamba_mm.ops.backends.cpu import build as cpu_build


def tensors(**others):
    shapes = dict(u=(2, 1, 5, 4), delta=(2, 3, 5, 2), A=(3, 4, 6), B=(2, 3, 5, 6), C=(2, 3, 5, 6))
    shapes |= dict(D=(4,), delta_bias=(3, 4), delta_weight=(4, 2))
    made = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    return made | dict(orders=torch.arange(5).repeat(3, 1)) | others


def test_names_for_sizes():
    scan = ScanInputs(**tensors())
    assert (scan.batch, scan.paths, scan.length, scan.channels, scan.states) == (2, 3, 5, 4, 6)
    assert (scan.rank, scan.one_u, scan.dtype) == (2, True, torch.float32)
    assert scan.output_shape == (2, 3, 5, 4) and scan.state_shape == (2, 3, 6, 4)
    full = ScanInputs(
        **tensors(delta=torch.zeros(2, 3, 5, 4), delta_weight=None, u=torch.zeros(2, 3, 5, 4))
    )
    assert (full.rank, full.one_u) == (0, False) and 'delta_weight' not in full.tensors
    with pytest.raises(dataclasses.FrozenInstanceError):
        scan.u = scan.delta


@pytest.mark.parametrize(
    ('name', 'other', 'error', 'message'),
    [
        ('u', torch.zeros(2, 2, 5, 4), ValueError, r'u must be \(2, 3, 5, 4\) or \(2, 1, 5, 4\) beside'),
        ('A', torch.zeros(2, 4, 6), ValueError, r'A must be \(4, 6\) or \(3, 4, 6\) .* got \(2, 4, 6\)'),
        ('D', torch.zeros(2, 4), ValueError, r'D must be \(4,\) or \(3, 4\)'),
        ('delta_weight', torch.zeros(4, 3), ValueError, r'delta_weight must be \(4, 2\)'),
        ('delta', torch.zeros(3, 5, 2), ValueError, r'delta must be \(B, K, L, E\)'),
        ('B', torch.zeros(2, 3, 5, 6).long(), TypeError, 'B must be real floating point, got torch.int64'),
        ('u', torch.zeros(2, 1, 5, 4).to(torch.float8_e5m2), TypeError, r'16 bits or more, .* u\.bfloat16'),
        ('A', torch.zeros(4, 0), ValueError, r'A must have at least one state, got \(4, 0\)'),
        ('C', torch.zeros(2, 3, 5, 6, device='meta'), ValueError, 'C is on meta and u on cpu'),
        ('orders', torch.zeros(3, 5).int(), TypeError, r'int64 indices, got torch.int32: use orders.long'),
        ('orders', torch.zeros(3, 5).long().to('meta'), ValueError, 'on meta and the tokens on cpu'),
    ],
)
def test_refusals(name, other, error, message):
    with pytest.raises(error, match=f'^scan: .*{message}'):
        ScanInputs(**tensors(**{name: other}))


def test_steps_of_no_rank_are_refused():
    """0 is the rank of steps that are given in full, and the native code read them so."""
    none = dict(delta=torch.zeros(2, 3, 5, 0), delta_weight=torch.zeros(4, 0))
    with pytest.raises(ValueError, match=r'^scan: delta_weight must be of rank 1 at least, got \(4, 0\)'):
        ScanInputs(**tensors(**none))


def test_names_that_moved_say_where_they_went():
    for name in ('rows', 'reduce_to'):
        with pytest.warns(DeprecationWarning, match=rf'moved to rsmamba_mm\.ops\.numerics\.{name}'):
            assert getattr(reference, name) is getattr(numerics, name)
    with pytest.warns(DeprecationWarning, match=r'probes\.mamba_ssm has moved to .*\.mamba_ssm\.probe'):
        assert probes.mamba_ssm is mamba_ssm.probe
    assert build.library is cpu_build.library
    assert reference.compute_dtype is compute_dtype
    with pytest.raises(AttributeError, match="has no attribute 'flops'"):
        _ = reference.flops
