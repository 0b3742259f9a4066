"""The fields of the workloads: the function of arrays is the module, number by number."""

import numpy as np
import pytest
import torch
from torch import Tensor

from flashode.bench.tasks.problems import PROBLEMS
from flashode.bench.tasks.workloads import WORKLOADS, Workload

IN_NUMPY = {
    name: row
    for name, row in {**WORKLOADS, **PROBLEMS}.items()
    if row.field.arrays is not None and not row.field.autodiff
}


@pytest.mark.parametrize("workload", IN_NUMPY.values(), ids=IN_NUMPY)
def test_function_of_arrays_is_the_module(workload: Workload) -> None:
    field, y0, times = workload.make(torch.float64)
    assert workload.field.arrays is not None and isinstance(y0, Tensor)
    parameters = [parameter.detach().numpy() for parameter in field.parameters()]
    function = workload.field.arrays(np)
    for t, y in ((times[0], y0), (times[-1], 0.7 * y0 + 0.1)):
        with torch.no_grad():
            expected = field(t, y.clone()).numpy()
        np.testing.assert_allclose(
            function(parameters, float(t), y.numpy()), expected, rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_field_and_start_are_the_same_each_time_and_leave_the_stream(workload: Workload) -> None:
    before = torch.get_rng_state()
    first, second = workload.make(), workload.make()
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(one, other) and one.dtype == workload.dtype
    starts = [(y0,) if isinstance(y0, Tensor) else y0 for _, y0, _ in (first, second)]
    assert all(torch.equal(one, other) for one, other in zip(*starts, strict=True))


def test_the_table_has_every_workload_that_speed_is_judged_by() -> None:
    names = {"spiral", "demo", "demo_rk4", "latent", "wide", "flow", "cnf", "lorenz", "long", "batch1"}
    assert names <= WORKLOADS.keys()
    assert all(name == row.name for name, row in WORKLOADS.items())
