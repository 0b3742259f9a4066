"""Searches and lookups on the host's machine, against the native engine."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flashode
from cuda.host import Host
from cuda.solving import cuda_on
from flashode import use_engine
from random_solves import gradients, solved
from tables import PROGRAMS

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
def test_same_as_the_native_engine(name: str, adjoint: bool) -> None:
    program, D = PROGRAMS[name], torch.float64
    host = Host()
    with use_engine("native"):
        states = solved(program, 11, 5, "rk4", D).states
        native, _ = gradients(program, 11, 5, "rk4", D, adjoint, of_times=True)
    with cuda_on(host):
        torch.testing.assert_close(solved(program, 11, 5, "rk4", D).states, states, rtol=1e-12, atol=1e-12)
        host.order = 1
        own, _ = gradients(program, 11, 5, "rk4", D, adjoint, of_times=True)
    for mine, its in zip(own, native, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)


def test_beyond_a_table_is_the_function_s_own_error() -> None:
    table = torch.linspace(-1, 1, 4, dtype=torch.float64)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return table[(4 * t).long()] - y

    y0, t = torch.ones(3, 2, dtype=torch.float64), torch.tensor([0.0, 0.9], dtype=torch.float64)
    with cuda_on(Host()):
        states = flashode.odeint(field, y0, t, options={"first_step": 0.01, "max_step": 0.02})
        with pytest.raises(IndexError, match="out of"):
            # Of the first step no smaller one is tried.
            flashode.odeint(field, y0, t, options={"first_step": 5.0})
    with use_engine("eager"):
        eager = flashode.odeint(field, y0, t, options={"first_step": 0.01, "max_step": 0.02})
    torch.testing.assert_close(states, eager, rtol=1e-7, atol=1e-9)
