"""The quartic through both ends, both slopes and the middle of a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from flashode.engines.eager.step import Clock
from flashode.methods import Tableau


@lru_cache(maxsize=64)
def _basis(tableau: Tableau, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights by powers x**1 .. x**4: of (y0, y1), shape (4, 2), and of dt k, shape (4, stages).

    The polynomial is ``y0`` plus these, from its five conditions solved once; the middle is eliminated
    through the tableau's own weights, which leaves weights of order one and so no cancellation.
    """
    middle = tableau.floats().b_mid
    from_middle = (0.0, 16.0, -32.0, 16.0)
    from_f0 = (1.0, -4.0, 5.0, -2.0)
    from_f1 = (0.0, 1.0, -3.0, 2.0)
    stages = [[m * weight for weight in middle] for m in from_middle]
    for power in range(4):
        stages[power][0] += from_f0[power]
        stages[power][-1] += from_f1[power]
    ends = ((0.0, 0.0), (5.0, -5.0), (-14.0, 14.0), (8.0, -8.0))
    with torch.inference_mode(False):
        return (
            torch.tensor(ends, dtype=torch.float64, device=device),
            torch.tensor(stages, dtype=torch.float64, device=device),
        )


@dataclass(frozen=True)
class AcceptedStep:
    """What the dense output is made from.

    Attributes:
        clock: Where the step lies.
        y0: State at its start, shape ``(*state)``.
        y1: State at its end.
        k: Its stages.
    """

    clock: Clock
    y0: torch.Tensor
    y1: torch.Tensor
    k: list[torch.Tensor]


def interpolate(
    tableau: Tableau,
    step: AcceptedStep,
    times: tuple[float, ...],
    moved: torch.Tensor | None,
) -> torch.Tensor:
    """The solution inside an accepted step.

    Args:
        tableau: The method.
        step: The step.
        times: Solver times in it.
        moved: Zeros of the same number, connected to what the times depend on, or None.

    Returns:
        Shape ``(len(times), *state)``; differentiable in the states, the stages and in what the times
        depend on.
    """
    clock, y0 = step.clock, step.y0
    # A few numbers: cheaper on the host unless they depend on tensors that are elsewhere.
    device = torch.device("cpu") if moved is None and clock.stretch is None else y0.device
    x = torch.tensor(
        [(t - clock.t0) / (clock.t1 - clock.t0) for t in times], dtype=torch.float64, device=device
    )
    stretch = None if clock.stretch is None else clock.stretch.double()
    if moved is not None:
        delta = moved.double() if clock.shift is None else moved.double() - clock.shift.double()
        if stretch is not None:
            delta = delta - x * stretch
        x = x + delta / clock.dt
    ends, stages = _basis(tableau, device)
    powers = x[:, None] ** torch.arange(1, 5, dtype=torch.float64, device=device)  # (times, 4)
    dt = clock.dt if stretch is None else clock.dt + stretch
    rows = torch.cat([powers @ ends, dt * (powers @ stages)], dim=1).to(
        y0.device, y0.dtype
    )  # (times, 2 + stages)
    values = torch.stack([y0, step.y1, *step.k]).view(len(step.k) + 2, y0.numel())
    return (y0.reshape(-1) + rows @ values).view(len(times), *y0.shape)
