"""Draws calls from the cross product of everything that a solver can be given."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torchdiffeq._impl.odeint import SOLVERS

from differential.calls import CALLBACKS, Call
from differential.fields import KINDS

METHODS = tuple(SOLVERS)
ADAPTIVE = ("dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun")
ADAMS = ("explicit_adams", "implicit_adams", "fixed_adams")
RUNGE_KUTTA = tuple(name for name in METHODS if name not in (*ADAMS, "scipy_solver"))
FACES = ("odeint", "odeint_adjoint", "odeint_event", "odeint_event over odeint_adjoint")

Draw = Any


def largest(state: Any) -> Tensor:
    """A norm that takes a state of any kind."""
    parts = state if isinstance(state, tuple) else (state,)
    return torch.stack([part.abs().amax() for part in parts if part.numel()]).amax()


def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
    """Eleven points, closer at the beginning."""
    x = torch.linspace(0, 1, 11, dtype=t.dtype) ** 1.5
    points = t[0] + (t[-1] - t[0]) * x
    return torch.cat([points[:-1], t[-1:]])


@st.composite
def calls(draw: Draw, method: str) -> Call:
    """A call of that method."""
    kind = draw(st.sampled_from([*KINDS]))
    dtype = draw(st.sampled_from([torch.float64, torch.float32]))
    time_dtype = dtype if draw(st.booleans()) else draw(st.sampled_from([torch.float64, torch.float32]))
    func = draw(st.sampled_from([*KINDS[kind].fields]))
    gradients = draw(st.booleans()) and method != "scipy_solver"
    face = draw(st.sampled_from([*(2 * FACES[:2]), *FACES])) if method != "scipy_solver" else "odeint"
    if method == "dopri5" and not KINDS[kind].is_tuple and draw(st.integers(0, 7)) == 7:
        face = "odeint_dense"
    event = _event(draw, face, method)
    times = _times(draw, 2 if event or face == "odeint_dense" else draw(st.sampled_from([2, 3, 5, 1])))
    options = _options(draw, method, times, time_dtype, event is not None)
    if gradients and method in ADAPTIVE and "adjoint" not in face:
        # Their automatic first step carries a gradient, by accident.
        options.setdefault("first_step", 0.05)
    adjoint = _adjoint(draw, method) if "adjoint" in face else {}
    rtol, atol = _tolerances(draw, method, dtype, kind, "adjoint" in face)
    callbacks = ()
    if "closure" not in func and draw(st.integers(0, 4)) == 4:
        callbacks = tuple(draw(st.lists(st.sampled_from(CALLBACKS), unique=True, min_size=1)))
    return Call(
        face=face,
        method=method,
        kind=kind,
        func=func,
        dtype=dtype,
        times=times,
        time_dtype=time_dtype,
        rtol=rtol,
        atol=atol,
        options=options or None,
        adjoint=adjoint,
        gradients=gradients,
        time_gradients=gradients and draw(st.booleans()),
        # In single precision little is left of second derivatives.
        second=gradients
        and face == "odeint"
        and dtype == time_dtype == torch.float64
        and draw(st.integers(0, 2)) == 2,
        params=draw(st.sampled_from([None, None, 1])) if "adjoint" in face else None,
        event=event,
        callbacks=callbacks,
    )


def _event(draw: Draw, face: str, method: str) -> str | None:
    if not face.startswith("odeint_event") and not (
        method != "scipy_solver" and draw(st.integers(0, 7)) == 7
    ):
        return None
    return draw(st.sampled_from(["one", "several"]))


def _times(draw: Draw, count: int) -> tuple[float, ...]:
    start = draw(st.sampled_from([0.0, 0.3, -0.7]))
    gaps = [draw(st.sampled_from([0.5, 0.11, 0.37])) for _ in range(count - 1)]
    sign = draw(st.sampled_from([1.0, -1.0]))
    times = [start]
    for gap in gaps:
        times.append(times[-1] + sign * gap)
    return tuple(times)


# Tolerances that a method of its order meets in tens of steps.
_SCALE = {"adaptive_heun": 100.0, "fehlberg2": 30.0, "bosh3": 3.0}


def _tolerances(draw: Draw, method: str, dtype: torch.dtype, kind: str, adjoint: bool) -> tuple[Any, Any]:
    scale = _SCALE.get(method, 1.0)
    chosen = [1e-3, 1e-4] if dtype == torch.float32 else [1e-4, 1e-6, 1e-3]

    def one() -> float:
        return scale * draw(st.sampled_from(chosen))

    form = draw(st.sampled_from(["number", "number", "tensor", "components", "elements"]))
    if form == "tensor":
        return torch.tensor(one(), dtype=torch.float64), one()
    # Their adjoint takes neither of the two: see exclusions.
    if adjoint or method not in ADAPTIVE:
        return one(), one()
    if form == "components" and KINDS[kind].is_tuple:
        return tuple(one() for _ in KINDS[kind].shapes), tuple(one() for _ in KINDS[kind].shapes)
    if form == "elements" and not KINDS[kind].is_tuple and KINDS[kind].shapes[0]:
        return one(), one() * torch.linspace(1.0, 2.0, 3, dtype=torch.float64)
    return one(), one()


def _options(
    draw: Draw, method: str, times: tuple[float, ...], dtype: torch.dtype, event: bool
) -> dict[str, Any]:
    if draw(st.integers(0, 19)) == 19:
        return {"colour": "unknown to every method"}
    if method == "scipy_solver":
        return _some(draw, {"solver": ["RK45", "LSODA", "DOP853", "RK23"], "max_step": [0.2]})
    if method in ADAPTIVE:
        return _adaptive(draw, times, dtype)
    return _fixed(draw, method, event)


def _some(draw: Draw, choices: dict[str, list[Any]]) -> dict[str, Any]:
    """About a quarter of the options."""
    return {
        name: draw(st.sampled_from(values))
        for name, values in choices.items()
        if draw(st.integers(0, 3)) == 3
    }


def _adaptive(draw: Draw, times: tuple[float, ...], dtype: torch.dtype) -> dict[str, Any]:
    options = _some(
        draw,
        {
            "first_step": [0.05, 0.3, 1.5],
            "min_step": [0.01, 0.08],
            "max_step": [0.13, 0.6],
            "safety": [0.8],
            "ifactor": [3.0],
            "dfactor": [0.5],
            "max_num_steps": [1000, 2],
            "dtype": [torch.float32, torch.float64],
            "norm": [largest],
        },
    )
    sign = -1.0 if times[-1] < times[0] else 1.0
    for name, offsets in (("step_t", (0.123, 0.41, 7.0)), ("jump_t", (0.29, 0.052, -1.0))):
        if draw(st.integers(0, 4)) == 4:
            chosen = draw(st.lists(st.sampled_from(offsets), unique=True, min_size=1))
            options[name] = torch.tensor([times[0] + sign * x for x in chosen], dtype=dtype)
    return options


def _fixed(draw: Draw, method: str, event: bool) -> dict[str, Any]:
    options = _some(draw, {"perturb": [True, False], "interp": ["cubic", "linear"]})
    # Without a step_size they refuse to look for an event.
    likely = ["step_size"] * 7 + [""] if event else ["", "step_size", "grid_constructor"]
    steps = draw(st.sampled_from(likely))
    if steps == "step_size":
        options["step_size"] = draw(st.sampled_from([0.13, 0.05, 0.7]))
    elif steps:
        options["grid_constructor"] = grid
    if method in ADAMS:
        options.update(_some(draw, {"max_iters": [1, 10], "max_order": [3, 4, 6]}))
    return options


def _adjoint(draw: Draw, method: str) -> dict[str, Any]:
    arguments = _some(draw, {"adjoint_rtol": [1e-3, 1e-5], "adjoint_atol": [1e-4, 1e-6]})
    if draw(st.integers(0, 2)) == 2:
        used = draw(st.sampled_from([method, "dopri5", "rk4", "bosh3"]))
        arguments["adjoint_method"] = used
        options: dict[str, Any] = {}
        if used in ADAPTIVE:
            options = _some(draw, {"first_step": [0.03], "max_step": [0.21], "norm": ["seminorm", largest]})
        elif draw(st.booleans()):
            options["step_size"] = 0.06
        if draw(st.integers(0, 5)) < 5:
            arguments["adjoint_options"] = options
    return arguments
