"""What a captured solve costs beside its arithmetic, and where that goes.

python -m benchmarks.overhead [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import timeit
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import flashode

# One step of two numbers: its arithmetic is done in less time than reading the clock takes.
TIMES = (0.0, 1.0)
METHOD = "rk4"
# Of a solve that chooses its steps: a few of them.
TOLERANCES: dict[str, Any] = {"rtol": 1e-2, "atol": 1e-2}
SOLVES = 2000
REPEATS = 7
SHOWN = 30


class Linear(nn.Module):
    """dy/dt = A y."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 2, bias=False)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate at any time."""
        rate: Tensor = self.a(y)
        return rate


def solves() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    field, y0, t = Linear(), torch.ones(2), torch.tensor(TIMES)

    def forward() -> object:
        with torch.no_grad():
            return flashode.odeint(field, y0, t, method=METHOD)

    def train() -> object:
        return flashode.odeint(field, y0, t, method=METHOD).sum().backward()

    def adjoint() -> object:
        return flashode.odeint_adjoint(field, y0, t, method=METHOD).sum().backward()

    def nothing() -> object:
        # What of a training step is not ours.
        return field.a.weight.sum().backward()  # type: ignore[no-untyped-call]

    def chosen(**arguments: Any) -> Callable[[], object]:
        def solve() -> object:
            with torch.no_grad():
                return flashode.odeint(field, y0, t, **{**TOLERANCES, **arguments})

        return solve

    def dense() -> object:
        with torch.no_grad():
            return flashode.odeint_dense(field, y0, *TIMES, **TOLERANCES)

    elements = torch.full((2,), TOLERANCES["rtol"])
    return {
        "forward": forward,
        "train": train,
        "adjoint": adjoint,
        "a sum and its gradient": nothing,
        "steps chosen": chosen(),
        "steps chosen, a tolerance for each element": chosen(rtol=elements, atol=elements),
        "steps chosen, step_t": chosen(options={"step_t": t[1:]}),
        "steps chosen, until an event": chosen(event_fn=lambda t, y: t - TIMES[1]),
        "steps chosen, dense output": dense,
    }


def main() -> None:
    """Prints the least microseconds of each, and with --profile the functions that take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="list the functions of each by time")
    profiled = parser.parse_args().profile
    torch.set_num_threads(1)
    for name, solve in solves().items():
        timer = timeit.Timer(solve)
        timer.timeit(SOLVES // 10)
        least = min(timer.repeat(REPEATS, SOLVES)) / SOLVES
        print(f"{name}: {least * 1e6:.1f} us")
        if profiled:
            profile = cProfile.Profile()
            profile.runcall(timer.timeit, SOLVES)
            pstats.Stats(profile).sort_stats("tottime").print_stats(SHOWN)


if __name__ == "__main__":
    main()
