"""The workloads by which speed, memory and accuracy are judged, one row of the table each.

A field and its state are drawn from seed 0. One step size serves the whole batch, as in torchdiffeq; only
torchode gives each trajectory its own, and has no other way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from flashode.bench.tasks.fields import Field
from flashode.bench.tasks.fields.flows import planar_flow
from flashode.bench.tasks.fields.networks import SPIRAL, linear, network
from flashode.bench.tasks.fields.physics import LORENZ
from flashode.bench.tasks.fields.uncaptured import BRANCH, CONVOLUTION, DROPOUT

SEED = 0
State = Tensor | tuple[Tensor, ...]
Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class Start:
    """How the initial state is made.

    Attributes:
        shape: Of the state, (batch, *) except where there is a single trajectory.
        scale: Of the standard normal numbers it consists of; 0 for `offset` everywhere.
        offset: Added to every number, or to each along the last dimension.
        zeros: Last dimension of a second part of zeros, which makes the state a tuple; 0 for none.
    """

    shape: tuple[int, ...]
    scale: float = 1.0
    offset: tuple[float, ...] = (0.0,)
    zeros: int = 0

    def make(self) -> State:
        """Draws the state from torch's global stream."""
        drawn = torch.randn(self.shape) if self.scale else torch.zeros(self.shape)
        # float32 would round an offset that a row in float64 is to have to the last digit.
        y0 = self.scale * drawn + torch.tensor(self.offset, dtype=torch.float64)
        return (y0, torch.zeros(*self.shape[:-1], self.zeros)) if self.zeros else y0


@dataclass(frozen=True)
class Times:
    """Equally spaced output times."""

    start: float
    end: float
    count: int = 2

    @property
    def length(self) -> float:
        """From the first to the last."""
        return abs(self.end - self.start)

    def make(self) -> Tensor:
        """The times, of shape (count,), in float64."""
        return torch.linspace(self.start, self.end, self.count, dtype=torch.float64)


@dataclass(frozen=True)
class Workload:
    """What is solved, from where, at which times, and how closely.

    Attributes:
        name: One word.
        summary: One line for a reader of results.
        field: The vector field.
        start: The initial state.
        times: Of the outputs.
        rtol: Relative tolerance; not used by methods with given steps.
        atol: Absolute tolerance, likewise.
        method: A name that torchdiffeq or flashode knows.
        step_size: Of methods with given steps; None for a step from each output time to the next.
        jumps: Times at which the field is discontinuous, which every solver that can is told.
        precision: Of everything.
        device: Where everything is, "cpu" or "cuda".
        random: Whether the field draws numbers, so that there is no exact answer.
        modes: What is done with it; the names are those of `flashode.bench.contenders`.
    """

    name: str
    summary: str
    field: Field
    start: Start
    times: Times
    rtol: float = 1e-7
    atol: float = 1e-9
    method: str = "dopri5"
    step_size: float | None = None
    jumps: tuple[float, ...] = ()
    precision: Precision = "float32"
    device: str = "cpu"
    random: bool = False
    modes: tuple[str, ...] = ("forward", "discrete", "continuous")

    @property
    def dtype(self) -> torch.dtype:
        """The precision, as torch names it."""
        return torch.float32 if self.precision == "float32" else torch.float64

    @property
    def adaptive(self) -> bool:
        """Whether the method chooses its steps."""
        return self.method not in {"euler", "midpoint", "heun2", "heun3", "rk4"}

    @property
    def options(self) -> dict[str, object]:
        """The options of `odeint`, as torchdiffeq and flashode take them."""
        options: dict[str, object] = {}
        if self.step_size is not None:
            options["step_size"] = self.step_size
        if self.jumps:
            options["jump_t"] = torch.tensor(self.jumps, dtype=self.dtype, device=self.device)
        return options

    def describe(self) -> str:
        """One line with everything that the row fixes."""
        steps = "" if self.step_size is None else f", step_size {self.step_size:g}"
        control = f"rtol {self.rtol:g}, atol {self.atol:g}" if self.adaptive else "given steps"
        return f"{self.summary}; {self.method}, {control}{steps}, {self.precision}, seed {SEED}"

    def make(
        self, dtype: torch.dtype | None = None, device: str | None = None
    ) -> tuple[nn.Module, State, Tensor]:
        """The field, the initial state and the times. The global random state is left as it was.

        Args:
            dtype: Of all three; None for the workload's own.
            device: Likewise. The numbers are the same on all of them.
        """
        wanted: dict[str, Any] = {"dtype": dtype or self.dtype, "device": device or self.device}
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(SEED)
            field, y0 = self.field.module(), self.start.make()
        start = y0.to(**wanted) if isinstance(y0, Tensor) else tuple(part.to(**wanted) for part in y0)
        return field.to(**wanted), start, self.times.make().to(**wanted)


_DEMO = Workload(
    name="demo",
    summary="2-50-2 tanh on cubes, 20 trajectories, 10 times",
    field=network(2, 50, 2, cubes=True, std=0.1),
    start=Start((20, 1, 2), scale=1.5),
    times=Times(0.0, 0.25, 10),
)

_ROWS = (
    Workload(
        name="spiral",
        summary="linear 2×2, one trajectory, 100 times",
        field=linear(SPIRAL),
        start=Start((2,), scale=0.0, offset=(1.0,)),
        times=Times(0.0, 25.0, 100),
    ),
    _DEMO,
    replace(_DEMO, name="demo_rk4", summary="demo with nine steps of rk4", method="rk4"),
    Workload(
        name="latent",
        summary="4-20-20-4 ELU, 1000 trajectories, 100 times",
        field=network(4, 20, 20, 4, activation="elu"),
        start=Start((1000, 4)),
        times=Times(0.0, 6 * math.pi, 100),
    ),
    Workload(
        name="wide",
        summary="64-64-64-64 tanh, 256 trajectories",
        field=network(64, 64, 64, 64),
        start=Start((256, 64)),
        times=Times(0.0, 1.0),
        rtol=1e-5,
        atol=1e-5,
    ),
    Workload(
        name="flow",
        summary="3-64-64-3 tanh, 4096 trajectories, 20 times",
        field=network(3, 64, 64, 3),
        start=Start((4096, 3)),
        times=Times(0.0, 2.0, 20),
        rtol=1e-5,
        atol=1e-5,
    ),
    Workload(
        name="cnf",
        summary="planar flow, hypernetwork 1-32-32, width 64, with its divergence, 512 points, backwards",
        field=planar_flow(2, 32, 64),
        start=Start((512, 2), zeros=1),
        times=Times(10.0, 0.0),
        rtol=1e-5,
        atol=1e-5,
    ),
    Workload(
        name="lorenz",
        summary="Lorenz by hand, 100,000 trajectories, each with its own ρ, one step size for all",
        field=LORENZ,
        start=Start((100_000, 4), offset=(0.0, 0.0, 25.0, 28.0)),
        times=Times(0.0, 1.0),
        rtol=1e-6,
        atol=1e-6,
        modes=("forward",),
    ),
    Workload(
        name="long",
        summary="2-16-2 tanh, one trajectory, 10,000 steps of rk4",
        field=network(2, 16, 2),
        start=Start((1, 2)),
        times=Times(0.0, 100.0),
        method="rk4",
        step_size=0.01,
    ),
    Workload(
        name="batch1",
        summary="8-64-64-8 tanh, one trajectory",
        field=network(8, 64, 64, 8),
        start=Start((1, 8)),
        times=Times(0.0, 1.0),
        rtol=1e-6,
        atol=1e-6,
    ),
    Workload(
        name="convolution",
        summary="two convolutions on 8 images of 4×12×12 (in plain PyTorch)",
        field=CONVOLUTION,
        start=Start((8, 4, 12, 12)),
        times=Times(0.0, 1.0),
        rtol=1e-3,
        atol=1e-3,
    ),
    Workload(
        name="dropout",
        summary="8-32-8 with dropout, 32 trajectories, 20 steps of rk4 (in plain PyTorch)",
        field=DROPOUT,
        start=Start((32, 8)),
        times=Times(0.0, 1.0, 21),
        method="rk4",
        random=True,
    ),
    Workload(
        name="branch",
        summary="2-16-2 with a branch on t, 20 trajectories, 10 times (in plain PyTorch)",
        field=BRANCH,
        start=Start((20, 2)),
        times=Times(0.0, 1.0, 10),
        rtol=1e-4,
        atol=1e-4,
        jumps=(0.5,),
    ),
)

WORKLOADS: Mapping[str, Workload] = {row.name: row for row in _ROWS}
