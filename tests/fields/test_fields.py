"""Every field of the catalogue on the native engine, and equal to what the eager engine makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
import flashode.capture
from capture.agreement import captured_at
from fields import (
    activations,
    detached,
    elementwise,
    flows,
    matrices,
    modules,
    parametrised,
    physics,
    products,
    shapes,
    tables,
    time,
    transforms,
)
from fields.catalogue import Case, Field, State
from flashode import use_engine

CASES = {
    f"{theme.__name__.rpartition('.')[2]}-{case.name}": case
    for theme in (
        activations, detached, elementwise, flows, matrices, modules, parametrised, physics, products,
        shapes, tables, time, transforms,
    )
    for case in theme.CATALOGUE
}  # fmt: skip
IN_FLOAT32 = (
    "modules-Demo",
    "activations-SiLU",
    "physics-lorenz_unbind",
    "time-ConcatSquash",
    "flows-Ffjord",
)
BESIDE_TORCHDIFFEQ = (*IN_FLOAT32, "flows-PlanarCnf", "shapes-scalar_state", "physics-SirRates")


def cases(names: tuple[str, ...] | None = None) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(CASES[n], id=n) for n in names or CASES])


def solved(
    case: Case, solve: Callable[..., Any], method: str, engine: str, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """States and every gradient of a weighted sum of them."""
    func, owned = case.build(dtype)
    y0 = [x.detach().to(dtype, copy=True).requires_grad_() for x in _listed(case.y0)]
    t = (case.span * torch.tensor([0.0, 0.4, 1.0], dtype=dtype)).requires_grad_()
    arguments: dict[str, Any] = {"method": method}
    if method == "dopri5":
        # The first step is chosen in rounding's reach; the rest follow from it.
        arguments.update(rtol=1e-5, atol=1e-6, options={"first_step": 0.1 * case.span})
    if solve.__name__ == "odeint_adjoint" and not isinstance(func, nn.Module):
        arguments["adjoint_params"] = owned
    with use_engine(engine):
        solution = solve(func, tuple(y0) if isinstance(case.y0, tuple) else y0[0], t, **arguments)
        inputs = {"t": t, **_named("y0", y0), **_named("parameter", owned)}
        loss = sum(
            (x * torch.cos(torch.arange(x.numel(), dtype=dtype)).view_as(x)).sum() for x in _listed(solution)
        )
        gradients = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
    named = {f"gradient in {name}": g for name, g in zip(inputs, gradients, strict=True)}
    return {**_named("states", _listed(solution)), **named}


def _listed(state: State) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


def _named(name: str, tensors: Any) -> dict[str, Tensor]:
    return {f"{name}[{position}]": tensor for position, tensor in enumerate(tensors)}


def _agree(actual: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert actual.keys() == wanted.keys()
    for name, expected in wanted.items():
        assert bool(expected.isfinite().all()), f"the case is badly chosen: {name} is not finite"
        scale = float(expected.detach().abs().max()) if expected.numel() else 0.0
        torch.testing.assert_close(
            actual[name],
            expected,
            rtol=tolerance,
            atol=tolerance * max(scale, 1e-3),
            msg=lambda text, name=name: f"{name}: {text}",
        )


# Some fields of the catalogue are unstable in reverse; engines agree in what that makes of the gradients.
@pytest.mark.filterwarnings("ignore::flashode.AdjointWarning")
@cases()
def test_forward_and_both_gradients(case: Case) -> None:
    for solve, method in (
        (flashode.odeint, "rk4"),
        (flashode.odeint, "dopri5"),
        (flashode.odeint_adjoint, "rk4"),
    ):
        _agree(solved(case, solve, method, "native"), solved(case, solve, method, "eager"), case.tolerance)


@cases(tuple(name for name, case in CASES.items() if case.resizable))
def test_another_batch_size_is_the_same_capture(case: Case) -> None:
    func, _ = case.build()
    t = torch.tensor(0.3, dtype=torch.float64)
    first = _captured(func, t, case.y0)
    more = _captured(func, t, _grown(case.y0))
    assert more.batched
    assert more.program is first.program


def _captured(func: Field, t: Tensor, y0: State) -> flashode.capture.Capture:
    captured = captured_at(func, t, y0)
    assert isinstance(captured, flashode.capture.Capture), captured.reason
    return captured


def _grown(state: State) -> State:
    if isinstance(state, tuple):
        return tuple(torch.cat([x, x]) for x in state)
    return torch.cat([state, state])


@cases(IN_FLOAT32)
def test_in_single_precision(case: Case) -> None:
    for solve in (flashode.odeint, flashode.odeint_adjoint):
        native, eager = (solved(case, solve, "rk4", engine, torch.float32) for engine in ("native", "eager"))
        _agree(native, eager, 1e-5)


@cases(BESIDE_TORCHDIFFEQ)
def test_beside_torchdiffeq(case: Case) -> None:
    theirs = pytest.importorskip("torchdiffeq")
    for ours, other in ((flashode.odeint, theirs.odeint), (flashode.odeint_adjoint, theirs.odeint_adjoint)):
        _agree(
            solved(case, ours, "dopri5", "native"), solved(case, other, "dopri5", "native"), case.tolerance
        )
