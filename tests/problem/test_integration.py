"""What is remembered of options and tolerances, and for which solves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from flashode import odeint
from flashode.methods import METHODS
from flashode.problem.integration import make_integration
from flashode.problem.tolerances import CheckedTolerance
from flashode.state import Structure

Y0, T = torch.ones(2), torch.tensor([0.0, 1.0])


def field(t: Tensor, y: Tensor) -> Tensor:
    return -y


def test_complex_times_are_refused_after_equal_real_ones() -> None:
    prescribed = torch.tensor([0.25, 0.5])
    odeint(field, Y0, T, options={"step_t": prescribed})
    with pytest.raises(TypeError, match="must be a one-dimensional tensor or a sequence of finite times"):
        odeint(field, Y0, T, options={"step_t": prescribed + 0j})


def test_tensor_tolerances_are_on_the_device_of_the_state() -> None:
    tolerance = torch.tensor([1e-3, 1e-4])
    structure = Structure((Y0.shape,), False)

    def on(device: str) -> torch.device:
        y0 = Y0.to(device)

        def check(name: str, value: Any, dtype: torch.dtype) -> CheckedTolerance:
            return CheckedTolerance(value.to(y0.device, dtype), 1e-4)

        integration = make_integration(
            METHODS["dopri5"], tolerance, tolerance, None, 1.0, y0, structure, check_tolerance=check
        )
        assert isinstance(integration.rtol, Tensor)
        return integration.rtol.device

    assert [on(device).type for device in ("cpu", "meta", "cpu")] == ["cpu", "meta", "cpu"]
