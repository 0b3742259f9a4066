"""One trajectory after another, with its features in the vectors' lanes, or side by side, or in plain torch.

The rule in `flashode.engines.native.scope` rests on what this prints.

python -m benchmarks.alone
"""

from __future__ import annotations

import timeit
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import flashode
from flashode.engines.native import backend

WIDTHS = ((2, 50), (8, 64), (64, 256), (256, 512), (256, 1024), (512, 2048))
BATCHES = (1, 2, 4, 8)
MIXED = ((64, 2, 16), (64, 16, 64), (256, 8, 32), (512, 16, 64))
STEPS: dict[str, Any] = {"method": "rk4", "options": {"step_size": 0.1}}
TIMES = (0.0, 1.0)
REPEATS = 5
SECONDS = 0.05


class Perceptron(nn.Module):
    """One hidden layer with tanh."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, width))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of each trajectory by itself."""
        rate: Tensor = self.net(y)
        return rate


class Mixing(Perceptron):
    """The same, less the mean over the batch: the whole state is one trajectory."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of the batch."""
        return super().forward(t, y) - y.mean(0, keepdim=True)


def work(field: nn.Module, y0: Tensor) -> dict[str, Callable[[], object]]:
    """A solve, and a training step."""

    def forward() -> object:
        with torch.no_grad():
            return flashode.odeint(field, y0, torch.tensor(TIMES), **STEPS)

    def train() -> object:
        return flashode.odeint(field, y0, torch.tensor(TIMES), **STEPS).abs().mean().backward()

    return {"forward": forward, "train": train}


def least(run: Callable[[], object]) -> float:
    """The least microseconds that it takes."""
    timer = timeit.Timer(run)
    count = max(1, int(SECONDS / max(timer.timeit(2) / 2, 1e-6)))
    return min(timer.repeat(REPEATS, count)) / count * 1e6


def line(name: str, field: Callable[[], nn.Module], y0: Tensor) -> None:
    """Prints the times of one case."""
    texts = []
    for mode in ("forward", "train"):
        times = []
        for engine, alone in (("native", True), ("native", False), ("eager", False)):
            # A field of its own: what is found out about one is kept with it.
            made = work(field(), y0)[mode]
            with (
                flashode.use_engine(engine),
                mock.patch.object(backend, "alone", return_value=alone),
            ):
                times.append(least(made))
        texts.append("  ".join(f"{time:9.0f}" for time in times))
    print(f"{name:<28}{'    '.join(texts)}", flush=True)


def main() -> None:
    """Prints microseconds: one by one, side by side, in plain torch; of a solve, and of a training step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore", flashode.FallbackWarning)
    heads = "  ".join(f"{name:>9}" for name in ("alone", "together", "torch"))
    print(f"{'microseconds':<28}{heads}    {heads}")
    for width, hidden in WIDTHS:
        for batch in BATCHES:
            line(
                f"{batch} of {width}-{hidden}-{width}",
                partial(Perceptron, width, hidden),
                torch.randn(batch, width),
            )
    for rows, width, hidden in MIXED:
        line(
            f"{rows} mixed, {width}-{hidden}-{width}",
            partial(Mixing, width, hidden),
            torch.randn(rows, width),
        )


if __name__ == "__main__":
    main()
