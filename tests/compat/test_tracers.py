"""Solves while torch records or transforms what is computed: no kernel, no garbage, nothing left behind."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import flashode

pytestmark = pytest.mark.filterwarnings("ignore")

T = torch.tensor([0.0, 1.0])
METHODS = ("dopri5", "dopri8", "rk4", "explicit_adams", "implicit_midpoint")


class Decay(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.0), requires_grad=False)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.rate * y


class Model(nn.Module):
    """A network that solves: with T as its times, a buffer, or made in the call."""

    def __init__(self, method: str, solve: Callable[..., Tensor] = flashode.odeint) -> None:
        super().__init__()
        self.field, self.method, self.solve = Decay(), method, solve

    def forward(self, y: Tensor) -> Tensor:
        options = {} if flashode.METHODS[self.method].control == "error" else {"step_size": 0.05}
        if self.method == "explicit_adams":
            options["max_order"] = 4
        return self.solve(self.field, y, T, method=self.method, options=options)[-1]


def check(model: Callable[[Tensor], Tensor], *, linear: bool = True) -> None:
    """The model is e**-1 times what it is given."""
    for scale in (1.0, 2.0) if linear else (1.0,):
        y = torch.full((3, 2), scale)
        torch.testing.assert_close(model(y), y * math.exp(-1), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
@pytest.mark.parametrize("captured_before", [False, True])
# Not the implicit ones: under torch.jit's tracer torch.autograd.grad of several numbers fails in torch 2.13.
@pytest.mark.parametrize("method", METHODS[:-1])
def test_jit_trace(method: str, captured_before: bool, solve: Callable[..., Tensor]) -> None:
    model = Model(method, solve).requires_grad_(solve is flashode.odeint)
    if captured_before:
        with flashode.use_engine("native") if method != "explicit_adams" else contextlib.nullcontext():
            check(model)
    # With torch's own check, which traces twice.
    traced = torch.jit.trace(model, (torch.ones(3, 2),))
    check(traced)
    check(model)


def test_explaining_in_a_trace() -> None:
    results = []

    class Explaining(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            results.append(flashode.explain(Decay(), y))
            return y * 2

    torch.jit.trace(Explaining(), (torch.ones(3, 2),), check_trace=False)
    assert results[0].engine == "eager"
    assert "torch.jit is tracing" in results[0].declined["native"]


def test_events_in_a_trace() -> None:
    class Event(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            at, _ = flashode.odeint_event(
                lambda t, y: -y, y, torch.tensor(0.0), event_fn=lambda t, y: y[0, 0] - 0.5
            )
            return at

    for _ in range(2):
        traced = torch.jit.trace(Event(), (torch.ones(3, 2),), check_trace=False)
        torch.testing.assert_close(traced(torch.ones(3, 2)).item(), math.log(2), rtol=1e-4, atol=0.0)


class Passing(TorchDispatchMode):
    def __torch_dispatch__(self, func, kinds, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return func(*args, **(kwargs or {}))


class PassingFunctions(TorchFunctionMode):
    def __torch_function__(self, func, kinds, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("captured_before", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [Passing, PassingFunctions, lambda: FlopCounterMode(display=False)])
def test_modes(
    mode: Callable[[], contextlib.AbstractContextManager], method: str, captured_before: bool
) -> None:
    model = Model(method)
    if captured_before:
        check(model)
    if method == "implicit_midpoint" and isinstance(mode(), FlopCounterMode):
        return  # it follows modules by hooks in the graph, with which torch.autograd.grad fails in torch 2.13
    with mode():
        check(model)
    check(model)


@pytest.mark.parametrize("method", METHODS)
def test_functionalization(method: str) -> None:
    model = Model(method)
    for _ in range(2):
        check(torch.func.functionalize(model))
        check(model)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tracing_mode", ["real", "fake", "symbolic"])
def test_graphs_of_operations_are_refused_or_right(method: str, tracing_mode: str) -> None:
    # Steps read numbers from tensors, at which torch ends most of these in its own words, as for torchdiffeq.
    model = Model(method)
    for _ in range(2):
        with contextlib.suppress(Exception):
            check(make_fx(model, tracing_mode=tracing_mode)(torch.ones(3, 2)))
        check(model)


@pytest.mark.parametrize("method", METHODS)
def test_fake_tensors_leave_nothing_behind(method: str) -> None:
    model = Model(method)
    for allowed in (False, True):
        mode = FakeTensorMode(allow_non_fake_inputs=allowed)
        with mode, contextlib.suppress(Exception):
            output = model(mode.from_tensor(torch.ones(3, 2)))
            assert type(output) is not Tensor
        check(model)


def test_symbolic_tracing_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="y0 must be a tensor"):
        torch.fx.symbolic_trace(Model("rk4"))


def test_no_mode_stays_active() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", flashode.FallbackWarning)
        with flashode.use_engine("native"):
            check(Model("dopri5"))
