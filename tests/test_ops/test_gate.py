import pytest
import torch

from rsmamba_mm.ops import available_backends, merge_paths, pool_paths, use_backend


def inputs(dtype=torch.float64, paths=3, length=41, channels=20):
    torch.manual_seed(0)
    y = torch.randn(2, paths, length, channels, dtype=dtype, requires_grad=True)
    # the half of a projection, as the mixer gives it
    z = torch.randn(2, length, 2 * channels, dtype=dtype)[..., channels:].requires_grad_()
    weights = torch.rand(2, paths, dtype=dtype, requires_grad=True)
    return y, z, weights


@pytest.mark.parametrize('backend', available_backends())
@pytest.mark.parametrize(('paths', 'length', 'channels'), [(1, 1, 1), (3, 41, 20), (4, 64, 33)])
def test_equals_the_formula(backend, paths, length, channels):
    y, z, weights = inputs(paths=paths, length=length, channels=channels)
    gated = y * torch.nn.functional.silu(z)[:, None]
    expected = gated.mean(2), (gated * weights[:, :, None, None]).sum(1)
    with use_backend(backend):
        ours = pool_paths(y, z), merge_paths(y, z, weights)
        grads = []
        for pooled, merged in (ours, expected):
            total = pooled.cos().sum() + merged.sin().sum()
            grads.append(torch.autograd.grad(total, (y, z, weights), retain_graph=True))
    for mine, formula in zip((*ours, *grads[0]), (*expected, *grads[1]), strict=True):
        torch.testing.assert_close(mine, formula)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_other_precisions(dtype):
    y, z, weights = inputs()
    low = pool_paths(y.to(dtype), z.to(dtype)), merge_paths(y.to(dtype), z.to(dtype), weights.to(dtype))
    for ours, exact in zip(low, (pool_paths(y, z), merge_paths(y, z, weights)), strict=True):
        assert ours.dtype == dtype
        tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(ours.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.skipif('cpu' not in available_backends(), reason='only the cpu backend fuses these')
def test_operator_registration():
    y, z, weights = inputs(torch.float32)
    torch.library.opcheck(torch.ops.rsmamba_mm.pool, (y, z, 'cpu'))
    torch.library.opcheck(torch.ops.rsmamba_mm.merge, (y, z, weights, 'cpu'))


def test_refusals():
    y, z, weights = inputs()
    with pytest.raises(ValueError, match=r'y must be \(B, K, L, E\) and z \(B, L, E\)'):
        pool_paths(y, z[:, 1:])
    with pytest.raises(ValueError, match=r'weights must be \(2, 3\), got \(2, 2\)'):
        merge_paths(y, z, weights[:, :2])
