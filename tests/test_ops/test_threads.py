"""The native backend with as many threads as a user's machine: the other tests run with one."""

import pytest
import torch

from rsmamba_mm.ops import available_backends, make_orders, testing


@pytest.mark.skipif('cpu' not in available_backends(), reason='the native backend is not here')
@pytest.mark.parametrize('shared', [True, False], ids=['shared', 'per-order'])
def test_results_do_not_depend_on_the_number_of_threads(shared):
    inputs = testing.scan_inputs(3, 4, 97, 40, 16, torch.float32, shared=shared)
    options = dict(
        orders=make_orders(['forward', 'reverse', 'shuffle', 'column'], 1, 97), delta_softplus=True
    )
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(testing.run_scan('cpu', inputs, **options))
    finally:
        torch.set_num_threads(threads)
    for name, one in results[0].items():
        torch.testing.assert_close(results[1][name], one, rtol=1e-4, atol=1e-4, msg=name)
