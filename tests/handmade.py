"""Programs written by hand in the place of captures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from torch import Tensor

import flashode
from flashode.capture.captured import Capture
from flashode.capture.lowering.prologue import Prologue, Step
from flashode.program import Program


def capture_of(program: Program, parameters: Sequence[Tensor]) -> Capture:
    """A capture of batched trajectories that reads these very tensors."""
    slots = tuple(range(len(parameters)))
    prologue = Prologue(tuple(Step((), slot=i) for i in slots), slots, slots)
    return Capture(program, True, prologue, tuple(parameters), ())


def euler_step(program: Program, t: Tensor, y0: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """One step of Euler's method from ``t[0]`` to ``t[1]`` in the compiled engine."""

    def field(time: Tensor, y: Tensor) -> Tensor:
        raise AssertionError("the compiled engine evaluates the Program, not this")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "flashode.engines.compiled.engine.capture", lambda *_, **__: capture_of(program, parameters)
        )
        return flashode.odeint(field, y0, t, method="euler")[-1]
