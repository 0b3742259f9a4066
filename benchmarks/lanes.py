"""Vectors whose lanes hold the features of one trajectory, or several trajectories; and plain torch.

The rule `features_in_lanes` in `flashode.engines.native.scope` rests on what this prints.

python -m benchmarks.lanes
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

import flashode
from benchmarks.timing import least_seconds
from flashode.engines import REGISTRY
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.native.backend import NativeBackend

WIDTHS = ((2, 50), (8, 64), (64, 256), (256, 512), (256, 1024), (512, 2048))
BATCHES = (1, 2, 4, 8)
MIXED = ((64, 2, 16), (64, 16, 64), (256, 8, 32), (512, 16, 64))
STEPS: dict[str, Any] = {"method": "rk4", "options": {"step_size": 0.1}}
TIMES = (0.0, 1.0)
# The columns; each layout of the native engine is registered as an engine.
LAYOUTS = {"features": True, "trajectories": False}
ENGINES = (*LAYOUTS, "eager")


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


def engine(name: str) -> CompiledEngine:
    """The native engine with a layout, under the layout's name."""
    backend = NativeBackend(features_in_lanes=LAYOUTS[name])
    backend.name = name
    return CompiledEngine(backend)


def work(field: nn.Module, y0: Tensor) -> dict[str, Callable[[], object]]:
    """A solve, and a training step."""

    def forward() -> object:
        with torch.no_grad():
            return flashode.odeint(field, y0, torch.tensor(TIMES), **STEPS)

    def train() -> object:
        return flashode.odeint(field, y0, torch.tensor(TIMES), **STEPS).abs().mean().backward()

    return {"forward": forward, "train": train}


def line(name: str, field: Callable[[], nn.Module], y0: Tensor) -> None:
    """Prints the times of one case."""
    texts = []
    for mode in ("forward", "train"):
        times = []
        for engine in ENGINES:
            # A new field for each, whose capture remembers nothing of another engine.
            run = work(field(), y0)[mode]
            with flashode.use_engine(engine):
                times.append(least_seconds(run) * 1e6)
        texts.append("  ".join(f"{time:12.0f}" for time in times))
    print(f"{name:<28}{'    '.join(texts)}", flush=True)


def main() -> None:
    """Prints the microseconds in each engine, of a solve and of a training step."""
    REGISTRY.update({name: cache(partial(engine, name)) for name in LAYOUTS})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore", flashode.FallbackWarning)
    heads = "  ".join(f"{name:>12}" for name in ENGINES)
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
