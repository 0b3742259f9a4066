"""SciPy, on a field of numpy arrays: what one uses without PyTorch.

It computes in float64 and knows no gradients. Matrix products take one thread, see `measuring.isolation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from flashode.bench.contenders import FORWARD, Evaluations, Prepared, Unsupported, register
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.workloads import Workload

_METHODS = {"dopri5": "RK45", "dopri8": "DOP853", "bosh3": "RK23"}


@register("SciPy", FORWARD, label="SciPy", packages=("scipy",))
def _forward(workload: Workload) -> Prepared:
    from scipy.integrate import solve_ivp

    arrays = workload.field.arrays
    if workload.method not in _METHODS:
        raise Unsupported(f"SciPy has no {workload.method}")
    if workload.device != "cpu":
        raise Unsupported("SciPy computes on the processor")
    if arrays is None or workload.field.autodiff or workload.random:
        raise Unsupported("the field is not written in numpy")
    field, y0, times = workload.make(torch.float64, "cpu")
    assert isinstance(y0, Tensor)
    function, shape = arrays(np), tuple(y0.shape)
    parameters = [parameter.detach().numpy() for parameter in field.parameters()]
    start, points = y0.numpy().ravel(), times.numpy()

    def rate(t: float, y: Any) -> Any:
        return function(parameters, t, y.reshape(shape)).ravel()

    def run() -> Any:
        return solve_ivp(
            rate,
            (points[0], points[-1]),
            start,
            method=_METHODS[workload.method],
            t_eval=points,
            rtol=workload.rtol,
            atol=workload.atol,
        )

    def read(solution: Any) -> Answer:
        if not solution.success:
            raise ArithmeticError(solution.message)
        return Answer(solution.y.T.reshape(-1, *shape))

    return Prepared(run, read, lambda: Evaluations(run().nfev))
