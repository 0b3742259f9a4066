"""Searches and lookups on the host's machine, against the native engine."""

from __future__ import annotations

import pytest
import torch

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
