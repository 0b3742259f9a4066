"""The calls of both torchdiffeq and flashode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from problems import ComplexRotation, Counting, Network, Pair, Scalar

ADAPTIVE = ("dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun")
ADAMS = ("explicit_adams", "implicit_adams", "fixed_adams")
FIXED = ("euler", "midpoint", "heun2", "heun3", "rk4", *ADAMS)
SHARED = ADAPTIVE + FIXED

State = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One way of calling a solver.

    Attributes:
        make: Makes the field.
        y0: Initial state.
        t: Output times.
        rtol: Tolerances for adaptive methods.
        atol: Likewise.
        options: For adaptive methods, and for fixed ones.
        methods: Which methods it is for.
    """

    make: Callable[[], Counting]
    y0: State
    t: Tensor
    rtol: Any = 1e-5
    atol: Any = 1e-6
    adaptive: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = SHARED

    def arguments(self, method: str) -> dict[str, Any]:
        """Keyword arguments of the call."""
        options = self.adaptive if method in ADAPTIVE else self.fixed
        return {
            "method": method,
            "rtol": _scaled(self.rtol, method),
            "atol": _scaled(self.atol, method),
            "options": dict(options),
        }


def _scaled(tolerance: Any, method: str) -> Any:
    """A tolerance that a method of that order reaches in tens of steps."""
    factor = {"adaptive_heun": 100.0, "fehlberg2": 30.0, "bosh3": 3.0}.get(method, 1.0)
    if isinstance(tolerance, tuple):
        return tuple(factor * part for part in tolerance)
    return factor * tolerance


def values(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Fixed values of that shape."""
    count = max(1, torch.Size(shape).numel())
    return (torch.sin(1.3 * torch.arange(1, count + 1, dtype=torch.float64)).reshape(shape)).to(dtype)


def _times(end: float = 2.0, count: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(0.1, end, count, dtype=torch.float64).to(dtype)


_BATCH = values(4, 3)


def _fourteen(func: Any, y0: Tensor, t: Tensor) -> Tensor:
    """Fourteen equally spaced grid points."""
    return torch.linspace(float(t[0]), float(t[-1]), 14, dtype=t.dtype)


CASES: dict[str, Case] = {
    "batch": Case(Network, _BATCH, _times()),
    "one trajectory": Case(Network, values(3), _times()),
    "0-d": Case(Scalar, values(), _times()),
    "two batch dimensions": Case(Network, values(2, 5, 3), _times()),
    "tuple": Case(Pair, (values(4, 3), values(4, 1)), _times()),
    "decreasing": Case(Network, _BATCH, _times().flip(0)),
    "decreasing tuple": Case(Pair, (values(4, 3), values(4, 1)), _times().flip(0)),
    "two times": Case(Network, _BATCH, _times(count=2)),
    "one time": Case(Network, _BATCH, _times(count=1)),
    "float32": Case(
        lambda: Network(dtype=torch.float32), values(4, 3, dtype=torch.float32), _times(), 1e-4, 1e-4
    ),
    "float32 throughout": Case(
        lambda: Network(dtype=torch.float32),
        values(4, 3, dtype=torch.float32),
        _times(dtype=torch.float32),
        1e-4,
        1e-4,
    ),
    "float32 times": Case(Network, _BATCH, _times(dtype=torch.float32)),
    "complex": Case(ComplexRotation, torch.complex(values(3), values(3).flip(0)), _times()),
    "step size": Case(Network, _BATCH, _times(), fixed={"step_size": 0.13}, methods=FIXED),
    "step size, decreasing": Case(
        Network, _BATCH, _times().flip(0), fixed={"step_size": 0.13}, methods=FIXED
    ),
    "step size that fits": Case(Network, _BATCH, _times(2.1), fixed={"step_size": 0.25}, methods=FIXED),
    "cubic": Case(Network, _BATCH, _times(), fixed={"step_size": 0.33, "interp": "cubic"}, methods=FIXED),
    "large steps, cubic": Case(
        Network, _BATCH, _times(), fixed={"step_size": 1.1, "interp": "cubic"}, methods=FIXED
    ),
    "perturb": Case(Network, _BATCH, _times(), fixed={"perturb": True}, methods=FIXED),
    "many steps, perturb": Case(
        Network, _BATCH, _times(), fixed={"step_size": 0.11, "perturb": True}, methods=ADAMS
    ),
    "order": Case(Network, _BATCH, _times(), fixed={"step_size": 0.11, "max_order": 5}, methods=ADAMS),
    "one iteration": Case(
        Network, _BATCH, _times(), fixed={"step_size": 0.11, "max_iters": 1}, methods=ADAMS
    ),
    "tight": Case(
        Network, _BATCH, _times(), 1e-11, 1e-12, fixed={"step_size": 0.11, "max_iters": 9}, methods=ADAMS
    ),
    "tolerance of each element in a fixed step": Case(
        Network,
        _BATCH,
        _times(),
        torch.tensor([1e-4, 1e-7, 1e-9], dtype=torch.float64),
        torch.full((4, 1), 1e-9, dtype=torch.float64),
        fixed={"step_size": 0.11},
        methods=ADAMS,
    ),
    "grid": Case(
        Network,
        _BATCH,
        _times(),
        fixed={"grid_constructor": _fourteen},
        methods=FIXED,
    ),
    "decreasing grid": Case(
        Network,
        _BATCH,
        _times().flip(0),
        fixed={"grid_constructor": _fourteen},
        methods=FIXED,
    ),
    "first step": Case(Network, _BATCH, _times(), adaptive={"first_step": 0.05}, methods=ADAPTIVE),
    "step limits": Case(
        Network, _BATCH, _times(), adaptive={"min_step": 0.02, "max_step": 0.1}, methods=ADAPTIVE
    ),
    "forced steps": Case(Network, _BATCH, _times(), 1e-9, 1e-9, adaptive={"min_step": 0.1}, methods=ADAPTIVE),
    "controller": Case(
        Network, _BATCH, _times(), adaptive={"safety": 0.8, "ifactor": 3.0, "dfactor": 0.5}, methods=ADAPTIVE
    ),
    "float32 controller": Case(
        lambda: Network(dtype=torch.float32),
        values(4, 3, dtype=torch.float32),
        _times(dtype=torch.float32),
        1e-3,
        1e-3,
        adaptive={"dtype": torch.float32},
        methods=ADAPTIVE,
    ),
    "norm": Case(Network, _BATCH, _times(), adaptive={"norm": lambda x: x.abs().max()}, methods=ADAPTIVE),
    "tuple norm": Case(
        Pair,
        (values(4, 3), values(4, 1)),
        _times(),
        adaptive={"norm": lambda state: state[0].abs().max()},
        methods=ADAPTIVE,
    ),
    "tolerance of each element": Case(
        Network,
        _BATCH,
        _times(),
        torch.tensor([1e-4, 1e-5, 1e-6], dtype=torch.float64),
        torch.full((4, 1), 1e-6, dtype=torch.float64),
        methods=ADAPTIVE,
    ),
    "tolerance of each component": Case(
        Pair, (values(4, 3), values(4, 1)), _times(), (1e-5, 1e-4), (1e-6, 1e-5), methods=ADAPTIVE
    ),
    "prescribed steps": Case(
        Network,
        _BATCH,
        _times(),
        adaptive={"step_t": torch.tensor([0.31, 0.77, 1.9], dtype=torch.float64)},
        methods=ADAPTIVE,
    ),
    "jumps": Case(
        Network,
        _BATCH,
        _times(),
        adaptive={
            "jump_t": torch.tensor([1.3, 0.2], dtype=torch.float64),
            "step_t": torch.tensor([0.7], dtype=torch.float64),
        },
        methods=ADAPTIVE,
    ),
    "decreasing jumps": Case(
        Network,
        _BATCH,
        _times().flip(0),
        adaptive={"jump_t": torch.tensor([1.3, 0.2], dtype=torch.float64)},
        methods=ADAPTIVE,
    ),
}

PAIRS = [(name, method) for name, case in CASES.items() for method in case.methods]


def parts(state: State) -> tuple[Tensor, ...]:
    """The tensors of a state or of a solution."""
    return (state,) if isinstance(state, Tensor) else tuple(state)
