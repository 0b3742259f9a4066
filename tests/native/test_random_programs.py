"""Random Programs in the compiled engine, against their interpretation in plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from torch import Tensor

import flashode
from flashode import use_engine
from flashode.capture.captured import Capture
from flashode.capture.lowering.prologue import Prologue, Step
from flashode.program import Program
from random_programs import random_programs

TIMES = torch.tensor([0.1, 0.35, 0.6], dtype=torch.float64)


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(random_programs(), st.sampled_from((3, 1, 8, 11)), st.integers(0, 99), st.booleans())
def test_the_kernels_are_the_interpreter(program: Program, batch: int, seed: int, continuous: bool) -> None:
    note(f"{program}\n# {batch} trajectories, seed {seed}")
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: Any) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    parameters = [draw(shape) for shape in program.parameter_shapes]
    y0 = draw((batch, program.widths[1]))
    results = [
        solved(program, parameters, y0, engine, continuous=continuous) for engine in ("native", "eager")
    ]
    for native, eager in zip(*results, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-9, atol=1e-11)


def solved(
    program: Program, parameters: list[Tensor], y0: Tensor, engine: str, *, continuous: bool
) -> list[Tensor]:
    """The states, and the gradients in t, y0 and the parameters."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return program.interpret(t, y, parameters)

    def captured(*_: object, **__: object) -> Capture:
        slots = range(len(parameters))
        prologue = Prologue(tuple(Step((), slot=i) for i in slots), tuple(slots), tuple(slots))
        return Capture(program, True, prologue, tuple(parameters), ())

    t = TIMES.clone().requires_grad_()
    with pytest.MonkeyPatch.context() as patch, use_engine(engine):
        patch.setattr("flashode.engines.compiled.engine.capture", captured)
        if continuous:
            states = flashode.odeint_adjoint(field, y0, t, method="rk4", adjoint_params=parameters)
        else:
            states = flashode.odeint(field, y0, t, method="rk4")
        loss = (states * torch.linspace(-1, 1, states.numel(), dtype=y0.dtype).view_as(states)).sum()
        return [states, *torch.autograd.grad(loss, [t, y0, *parameters], materialize_grads=True)]
