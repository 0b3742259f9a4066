"""torchdiffeq with its error estimates shaken by rounding.

Whether a step is accepted may hang on the last bits of an error estimate, and two correct programs may then
take different steps. Such a call cannot be compared. It is found by making it three times to torchdiffeq: as
it is, and with error estimates that are a little larger and a little smaller. If the steps hardly differ,
they hang on no last bit, and what the solutions differ by is what rounding may do to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torchdiffeq._impl import fixed_adams, rk_common


@contextmanager
def shaken(sign: float) -> Iterator[list[float]]:
    """Error estimates of torchdiffeq grow (1) or shrink (-1) by more than rounding does; or not (0).

    Yields:
        The sizes of the adaptive steps that it tries meanwhile.
    """
    sizes: list[float] = []
    step, ratio = rk_common._runge_kutta_step, fixed_adams._compute_error_ratio

    def shaken_step(
        func: Any, y0: Tensor, f0: Tensor, t0: Tensor, dt: Tensor, t1: Tensor, tableau: Any
    ) -> Any:
        sizes.append(float(dt.detach()))
        y1, f1, error, k = step(func, y0, f0, t0, dt, t1, tableau=tableau)
        size, eps = error.abs(), torch.finfo(error.dtype).eps
        rounding = 4 * eps * (k * (dt.to(y0.dtype) * tableau.c_error)).abs().sum(dim=-1)
        shaken_size = (size * (1 + sign * _relative(eps)) + sign * rounding).clamp(min=0)
        return y1, f1, torch.where(size > 0, error / size, torch.ones_like(error)) * shaken_size, k

    def shaken_ratio(error: Tensor, rtol: Tensor, atol: Tensor, y0: Tensor, y1: Tensor, norm: Any) -> Tensor:
        rounding = torch.finfo(error.dtype).eps * torch.maximum(y0.abs(), y1.abs())
        return ratio((error + sign * 4 * rounding).clamp(min=0), rtol, atol, y0, y1, norm)

    with (
        mock.patch.object(rk_common, "_runge_kutta_step", shaken_step),
        mock.patch.object(fixed_adams, "_compute_error_ratio", shaken_ratio),
    ):
        yield sizes


def _relative(eps: float) -> float:
    return 1e-7 if eps < 1e-10 else 1e-3
