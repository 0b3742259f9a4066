"""The times at which the compiled engine evaluates a field: to the last bit those of the eager engine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode import use_engine
from native_methods import NATIVE_METHODS

# Steps whose stage times are sensitive to how they are rounded: 0.3 + 2/3 * 0.3 is 0.5 in double precision,
# and less if the product is not rounded.
TIMES = [0.3, 0.6, 0.71, 1.0, 1.9]


def _options(method: str) -> dict[str, Any]:
    if flashode.METHODS[method].control == "error":
        return {"first_step": 0.3, "min_step": 0.3, "max_step": 0.3}
    return {}


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("method", NATIVE_METHODS)
def test_stages_are_evaluated_at_the_same_times(method: str, dtype: torch.dtype, direction: float) -> None:
    t = direction * torch.tensor(TIMES, dtype=torch.float64)
    options = _options(method)
    seen: list[float] = []

    def recorded(time: Tensor, y: Tensor) -> Tensor:
        seen.append(time.item())
        return torch.zeros_like(y)

    with use_engine("eager"):
        flashode.odeint(recorded, torch.zeros(1, 1, dtype=dtype), t, method=method, options=options)
    times = torch.tensor(sorted(set(seen)), dtype=dtype)

    # A row for each time, which counts evaluations at it; and the square of that, to show stages that have
    # no weight in the solution.
    def struck(time: Tensor, y: Tensor) -> Tensor:
        counts, _ = y.chunk(2, 1)
        return torch.cat([(time == times).to(dtype) + 0 * counts, counts**2], 1)

    y0 = torch.zeros(1, 2 * len(times), dtype=dtype)
    solution = flashode.odeint(struck, y0, t, method=method, options=options)
    with use_engine("eager"):
        wanted = flashode.odeint(struck, y0, t, method=method, options=options)
    torch.testing.assert_close(solution, wanted, rtol=1e-3, atol=1e-12)
    assert wanted[-1].ne(0).view(2, -1).any(0).sum() > len(TIMES) - 2
