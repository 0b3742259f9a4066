"""Random Programs, in the CUDA engine and in the native one."""

from __future__ import annotations

import random
from unittest.mock import patch

import torch
from torch import Tensor

import flashode
from benchmarks.gpu import machines
from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import Watched, solving, solving_natively
from benchmarks.gpu.solves import difference
from flashode.capture.captured import Capture
from flashode.capture.lowering.prologue import Prologue, Step
from flashode.program import C, Program, Y
from program_grammar import random_program

PROGRAMS = 40
ON_HOST = 2
# More seconds than a Program takes: none is begun that would be stopped.
LONGEST = 5.0
BATCHES = (3, 1, 8, 11, 70, 300)
TIMES = (0.1, 0.35, 0.6)
# As of handwritten ones; gradients of steep functions lose more digits.
APART = 1e-8


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    on = machines.device(machine)
    total = ON_HOST if host else PROGRAMS
    agreeing = done = 0
    for seed in range(total):
        if found.seconds_left < LONGEST:
            break
        draws = random.Random(seed)
        program = random_program(draws.randint)
        batch = draws.choice(BATCHES)
        done += 1
        if reason := disagreement(machine, program, batch, seed, on):
            found.add(f"seed {seed}, {batch} trajectories", False, f"{reason}; {program}")
        else:
            agreeing += 1
    found.add(f"{total} random Programs", agreeing == total, f"{agreeing} agree with native of {done} tried")


def disagreement(machine: Watched, program: Program, batch: int, seed: int, on: torch.device) -> str | None:
    """In what the engines differ; every other Program is reversed by the adjoint equations."""
    try:
        with solving(machine):
            ours = results(program, batch, seed, on)
        with solving_natively():
            right = results(program, batch, seed, torch.device("cpu"))
    except Exception as error:  # of one Program, which says nothing of the others
        return f"{type(error).__name__}: {error}"
    apart = difference(ours, right)
    return None if apart <= APART else f"{apart:.1e} apart"


def results(program: Program, batch: int, seed: int, on: torch.device) -> list[Tensor]:
    """States, and gradients in y0, parameters and what belongs to trajectories."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(on).requires_grad_()

    parameters = [draw(*shape) for shape in program.parameter_shapes]
    y0 = draw(batch, program.widths[Y])
    carried = [draw(batch, program.widths[C])] if program.widths[C] else []
    times = torch.tensor(TIMES, dtype=torch.float64, device=on)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return program.interpret(t, y, parameters, carried[0] if carried else None)

    def captured(*_: object, **__: object) -> Capture:
        slots = tuple(range(len(parameters)))
        prologue = Prologue(tuple(Step((), slot=i) for i in slots), slots, slots)
        return Capture(program, True, prologue, tuple(parameters), (), carried=tuple(carried))

    learned = [*parameters, *carried]
    with patch("flashode.engines.compiled.engine.capture", captured):
        if seed % 2:
            states = flashode.odeint_adjoint(field, y0, times, method="rk4", adjoint_params=tuple(learned))
        else:
            states = flashode.odeint(field, y0, times, method="rk4")
        weights = torch.linspace(-1, 1, states.numel(), dtype=torch.float64, device=on)
        loss = (states * weights.view_as(states)).sum()
        return [states.detach(), *torch.autograd.grad(loss, [y0, *learned], materialize_grads=True)]
