"""What later solves share of checked tolerances, and what they never do."""

from __future__ import annotations

import pytest
import torch

from flashode import odeint


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_tolerances_follow_the_state_to_its_device() -> None:
    """Those on the CPU are copied there, whatever an earlier solve had on another device."""
    y0, t, rtol = torch.ones(2), torch.tensor([0.0, 1.0]), torch.tensor([1e-3, 1e-4])
    expected = odeint(lambda t, y: -y, y0, t, rtol=rtol)
    solution = odeint(lambda t, y: -y, y0.cuda(), t.cuda(), rtol=rtol)
    torch.testing.assert_close(solution.cpu(), expected)
