"""The solution inside a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from flashode.dispatch import cached
from flashode.engines.eager.step import Clock
from flashode.methods import Tableau


@cached
def _basis(tableau: Tableau, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights by powers x**1 .. x**degree: of (y0, y1), shape (degree, 2), and of dt k, (degree, stages).

    The polynomial is ``y0`` plus these; a state in the middle is eliminated through the tableau's own
    weights, which leaves weights of order one and so no cancellation.
    """
    through = tableau.interpolant
    middle = tableau.floats().b_mid or (0.0,) * tableau.stages
    stages = [[y_mid * weight for weight in middle] for y_mid in through.y_mid[1:]]
    for row, f0, f1 in zip(stages, through.f0[1:], through.f1[1:], strict=True):
        row[0] += f0
        row[-1] += f1
    ends = [(-y1, y1) for y1 in through.y1[1:]]
    return (
        torch.tensor(ends, dtype=torch.float64, device=device),
        torch.tensor(stages, dtype=torch.float64, device=device),
    )


@dataclass(frozen=True)
class AdaptiveStep:
    """An accepted step of a method that chooses its steps, from y0 to y1, shape ``(*state)``, by stages k."""

    tableau: Tableau
    clock: Clock
    y0: torch.Tensor
    y1: torch.Tensor
    k: list[torch.Tensor]

    def at(self, times: tuple[float, ...], moved: torch.Tensor | None) -> torch.Tensor:
        """The solution at solver times in the step.

        Args:
            times: The times.
            moved: Zeros of the same number, connected to what the times depend on, or None.

        Returns:
            Shape ``(len(times), *state)``; differentiable in the states, the stages and in what the times
            depend on.
        """
        clock = self.clock
        # A few numbers: cheaper on the host unless they depend on tensors that are elsewhere.
        device = torch.device("cpu") if moved is None and clock.stretch is None else self.y0.device
        x = torch.tensor(
            [(t - clock.t0) / (clock.t1 - clock.t0) for t in times], dtype=torch.float64, device=device
        )
        if moved is not None:
            delta = moved.double() if clock.shift is None else moved.double() - clock.shift.double()
            if clock.stretch is None:
                x = x + delta / clock.dt
            else:
                x = (x * clock.dt + delta) / (clock.dt + clock.stretch.double())
        return self._evaluate(x)

    def inside(self, fractions: tuple[float, ...]) -> torch.Tensor:
        """The solution at fractions of the step, with which it moves: shape ``(len(fractions), *state)``."""
        device = torch.device("cpu") if self.clock.stretch is None else self.y0.device
        return self._evaluate(torch.tensor(fractions, dtype=torch.float64, device=device))

    @torch.no_grad()
    def interpolant(self) -> Callable[[float], torch.Tensor]:
        """The solution as a function of one solver time, for many calls; without derivatives."""
        clock, y0 = self.clock, self.y0
        ends, stages = _basis(self.tableau, torch.device("cpu"))
        rows = torch.cat([ends, clock.dt * stages], dim=1).to(y0.device, y0.dtype)
        coefficients = (rows @ self._values()).t()  # (elements, degree)

        def state(t: float) -> torch.Tensor:
            x = (t - clock.t0) / (clock.t1 - clock.t0)
            numbers = [x**power for power in range(1, len(ends) + 1)]
            powers = torch.tensor(numbers, dtype=y0.dtype, device=y0.device)
            return torch.addmv(y0.reshape(-1), coefficients, powers).view(y0.shape)

        return state

    def _evaluate(self, x: torch.Tensor) -> torch.Tensor:
        y0, stretch = self.y0, self.clock.stretch
        ends, stages = _basis(self.tableau, x.device)
        exponents = torch.arange(1, len(ends) + 1, dtype=torch.float64, device=x.device)
        powers = x[:, None] ** exponents  # (times, degree)
        dt = self.clock.dt if stretch is None else self.clock.dt + stretch.double()
        rows = torch.cat([powers @ ends, dt * (powers @ stages)], dim=1)  # (times, 2 + stages)
        return (y0.reshape(-1) + rows.to(y0.device, y0.dtype) @ self._values()).view(len(x), *y0.shape)

    def _values(self) -> torch.Tensor:
        k = self.k
        return torch.stack([self.y0, self.y1, *k]).view(len(k) + 2, self.y0.numel())


@dataclass(frozen=True)
class FixedStep:
    """A step on a grid, from y0 to y1, shape ``(*state)``: the line, or with slopes at both the cubic."""

    clock: Clock
    y0: torch.Tensor
    y1: torch.Tensor
    slopes: tuple[torch.Tensor, torch.Tensor] | None

    def at(self, t: float, moved: torch.Tensor | None) -> torch.Tensor:
        """The solution at a solver time in the step.

        Args:
            t: The time.
            moved: 0-d zero, connected to what the time depends on, or None.

        Returns:
            Shape ``(*state)``; differentiable in the states, the slopes and in what the time depends on.
        """
        clock = self.clock
        if self.slopes is None and t == clock.t0:
            return self.y0
        if self.slopes is None and t == clock.t1:
            return self.y1
        x: float | torch.Tensor = (t - clock.t0) / (clock.t1 - clock.t0)
        if clock.stretch is not None and moved is not None:
            assert clock.shift is not None
            x = (t - clock.t0 + (moved - clock.shift)) / (clock.dt + clock.stretch)
        return self._evaluate(x)

    def inside(self, fraction: float) -> torch.Tensor:
        """The solution at a fraction of the step, with which it moves: shape ``(*state)``."""
        return self.y1 if self.slopes is None and fraction == 1 else self._evaluate(fraction)

    def _evaluate(self, x: float | torch.Tensor) -> torch.Tensor:
        clock, y0, y1 = self.clock, self.y0, self.y1
        real = y0.dtype.to_real()
        if isinstance(x, torch.Tensor):
            x = x.to(real)
        if self.slopes is None:
            return y0 + x * (y1 - y0)
        f0, f1 = self.slopes
        stretch = clock.stretch
        dt = clock.t1 - clock.t0 if stretch is None else (clock.dt + stretch).to(real)
        return (
            (1 + 2 * x) * (1 - x) ** 2 * y0
            + x * (1 - x) ** 2 * (dt * f0)
            + x * x * (3 - 2 * x) * y1
            + x * x * (x - 1) * (dt * f1)
        )
