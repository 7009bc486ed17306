import pytest
import torch

from rsmamba_mm.ops import multi_order_scan


@pytest.fixture(scope='module', autouse=True)
def compiled() -> None:
    """The native backend is compiled at its first use, which is in no case's time."""
    x = torch.rand(1, 1, 2, 1)
    multi_order_scan(x, x, -torch.ones(1, 1), x, x)
