"""Random Programs, in the CUDA engine and in the native one."""

from __future__ import annotations

import random
from concurrent.futures import wait
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor

import flashode
from benchmarks.gpu import machines
from benchmarks.gpu.ahead import compiled_ahead
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
    drawn = [Drawn.of(seed, on) for seed in range(total)]
    jobs = [one.precompile for one in drawn]
    captures = patch("flashode.engines.compiled.engine.capture", lambda drawn, *_, **__: drawn.captured)
    with captures, compiled_ahead(machine, jobs) as compiled:
        for one, ahead in zip(drawn, compiled, strict=True):
            if found.seconds_left < LONGEST:
                break
            if ahead is not None:
                wait([ahead], timeout=found.seconds_left - LONGEST)
            done += 1
            if reason := disagreement(machine, one):
                found.add(one.name, False, f"{reason}; {one.program}")
            else:
                agreeing += 1
    text = f"{agreeing} agree with native of {done} tried"
    found.add(f"{total} random Programs", 0 < agreeing == done, text)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A Program and what it is solved for; it is the function, too, whose capture it is.

    Attributes:
        seed: Of all that is random.
        program: The field; every other one is reversed by the adjoint equations.
        parameters: What it reads.
        y0: Where it starts.
        carried: What belongs to trajectories, if anything.
    """

    seed: int
    program: Program
    parameters: tuple[Tensor, ...]
    y0: Tensor
    carried: tuple[Tensor, ...]

    @staticmethod
    def of(seed: int, on: torch.device) -> Drawn:
        """That of a seed, the same on each device."""
        draws = random.Random(seed)
        program = random_program(draws.randint)
        batch = draws.choice(BATCHES)
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
            return drawn.to(on).requires_grad_()

        parameters = tuple([draw(*shape) for shape in program.parameter_shapes])
        y0 = draw(batch, program.widths[Y])
        carried = (draw(batch, program.widths[C]),) if program.widths[C] else ()
        return Drawn(seed, program, parameters, y0, carried)

    @property
    def name(self) -> str:
        """For a reader."""
        return f"seed {self.seed}, {len(self.y0)} trajectories"

    @property
    def captured(self) -> Capture:
        """In the place of what would be captured of it."""
        slots = tuple(range(len(self.parameters)))
        prologue = Prologue(tuple(Step((), slot=i) for i in slots), slots, slots)
        return Capture(self.program, True, prologue, self.parameters, (), carried=self.carried)

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """Beside y0."""
        return self.parameters + self.carried

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """The field."""
        return self.program.interpret(t, y, self.parameters, self.carried[0] if self.carried else None)

    def precompile(self) -> None:
        """Its kernels."""
        times = torch.tensor(TIMES, dtype=torch.float64, device=self.y0.device)
        if self.seed % 2:
            params = {"gradients": "continuous", "adjoint_params": self.learned}
        else:
            params = {"gradients": "discrete"}
        flashode.precompile(self, self.y0, times, method="rk4", **params)  # type: ignore[arg-type]

    def results(self) -> list[Tensor]:
        """States, and gradients in y0, parameters and what belongs to trajectories."""
        times = torch.tensor(TIMES, dtype=torch.float64, device=self.y0.device)
        if self.seed % 2:
            states = flashode.odeint_adjoint(self, self.y0, times, method="rk4", adjoint_params=self.learned)
        else:
            states = flashode.odeint(self, self.y0, times, method="rk4")
        weights = torch.linspace(-1, 1, states.numel(), dtype=torch.float64, device=self.y0.device)
        loss = (states * weights.view_as(states)).sum()
        grads = torch.autograd.grad(loss, [self.y0, *self.learned], materialize_grads=True)
        return [states.detach(), *grads]


def disagreement(machine: Watched, drawn: Drawn) -> str | None:
    """In what the engines differ."""
    try:
        with solving(machine):
            ours = drawn.results()
        with solving_natively():
            right = Drawn.of(drawn.seed, torch.device("cpu")).results()
    except Exception as error:  # of one Program, which says nothing of the others
        return f"{type(error).__name__}: {error}"
    apart = difference(ours, right)
    return None if apart <= APART else f"{apart:.1e} apart"
