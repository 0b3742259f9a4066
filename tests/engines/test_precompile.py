"""What a solve compiles, compiled before it. The host stands for a GPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cuda.host import PROPERTIES, Host, HostKernel
from flashode import explain, odeint, odeint_adjoint, precompile, use_engine
from flashode.engines import EngineDeclined

pytestmark = pytest.mark.usefixtures("compiled")

T = torch.tensor([0.0, 0.5, 1.0])
Y0 = torch.tensor([[0.3, -0.2], [1.0, 0.5], [-0.4, 0.1]])


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y))


def trained(field: Field) -> None:
    odeint(field, Y0, T).sum().backward()


def adjoint(field: Field) -> None:
    odeint_adjoint(field, Y0, T).sum().backward()


def evaluated(field: Field) -> None:
    with torch.no_grad():
        odeint(field, Y0, T)


def fixed(field: Field) -> None:
    odeint(field, Y0, T, method="rk4").sum().backward()


def until(t: Tensor, y: Tensor) -> Tensor:
    return t - 0.25


def to_event(field: Field) -> None:
    odeint(field, Y0, T[:2], event_fn=until)[1].sum().backward()


MODES: list[tuple[Callable[[Field], None], dict[str, Any], list[str]]] = [
    (trained, {}, ["forward", "discrete_vjp"]),
    (adjoint, {"gradients": "continuous"}, ["forward", "continuous_vjp"]),
    (evaluated, {"gradients": None}, ["forward"]),
    (fixed, {"method": "rk4", "t": T}, ["forward", "discrete_vjp"]),
    (to_event, {"event_fn": until, "t": 0.0}, ["forward", "discrete_vjp"]),
]


@pytest.mark.parametrize(("solve", "arguments", "names"), MODES, ids=[mode[0].__name__ for mode in MODES])
def test_a_solve_then_compiles_nothing(
    solve: Callable[[Field], None], arguments: dict[str, Any], names: list[str]
) -> None:
    from cuda.solving import cuda_on

    host, field = Host(), Field()
    with cuda_on(host):
        done = precompile(field, Y0, **arguments)
        assert (done.function, done.engine, list(done.kernels)) == ("Field", "cuda", names)
        assert all(seconds is not None and 0 < seconds <= done.seconds for seconds in done.kernels.values())
        assert host.launches == 0 and field.layer.weight.grad is None
        compiled = set(host._kernels)
        assert len(compiled) == len(names)
        solve(field)
        assert set(host._kernels) == compiled and host.launches > 0
        again = precompile(field, Y0, **arguments)
        assert again.kernels == dict.fromkeys(names)
        assert f"{names[0]} (compiled before)" in str(again)


def test_an_event_leaves_less_room_for_the_tiles_of_the_reverse() -> None:
    from cuda.solving import cuda_on

    host, batch = Host(replace(PROPERTIES, shared_bytes=12 * 1024)), Y0.repeat(60, 1)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

    def field(t: Tensor, y: Tensor) -> Tensor:
        return net(y)  # type: ignore[no-any-return]

    lanes = {}
    for event_fn in (None, until):
        with cuda_on(host):
            precompile(field, batch, 0.0, event_fn=event_fn)
            compiled = set(host._kernels)
            solution = odeint(field, batch, T[:2], event_fn=event_fn)
            (solution if event_fn is None else solution[1]).sum().backward()
            assert set(host._kernels) == compiled
            _, reverse = explain(field, batch, 0.0, event_fn=event_fn).kernels
            lanes[event_fn] = re.findall(r"lanes = (\d+);", reverse.source)
    assert lanes[None] != lanes[until]  # or there would be nothing to see


def test_two_kernels_compile_at_the_same_time() -> None:
    from cuda.solving import cuda_on

    both = Barrier(2)

    class Meeting(Host):
        def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
            both.wait(timeout=60)
            return super().kernel(source, name, device)

    with cuda_on(Meeting()):
        assert len(precompile(Field(), Y0).kernels) == 2


def test_the_native_engine_captures_and_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Field()
    with use_engine("native"):
        done = precompile(field, Y0)
        monkeypatch.setattr("flashode.capture.make", None)  # a capture made anew would fail, and decline
        trained(field)
    assert (done.engine, done.kernels) == ("native", {})
    assert str(done).startswith("Field runs in the native engine, which compiles nothing for a function; ")


def test_nor_does_plain_torch() -> None:
    with use_engine("eager"):
        assert precompile(Field(), Y0, gradients=None).kernels == {}
    done = precompile(lambda t, y: y * y.sum().item(), Y0)
    assert (done.engine, done.kernels) == ("eager", {})


def test_an_engine_that_is_insisted_on_and_declines() -> None:
    with use_engine("native"), pytest.raises(EngineDeclined, match="SciPy runs its solvers itself"):
        precompile(Field(), Y0, method="scipy_solver")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"gradients": "exact"},
            ValueError,
            "gradients must be 'discrete', 'continuous' or None, got 'exact'",
        ),
        ({"gradients": True}, TypeError, "gradients must be 'discrete', 'continuous' or None, got True"),
        (
            {"adjoint_rtol": 1e-3},
            ValueError,
            "adjoint_rtol must be None where gradients is 'discrete', not 'continuous'",
        ),
        (
            {"gradients": None, "adjoint_params": ()},
            ValueError,
            "adjoint_params must be None where gradients is None, not 'continuous'",
        ),
        ({"t": "now"}, TypeError, "t must be a tensor of times, a number or None, got str"),
        ({"method": "euclid"}, ValueError, "method must be one of"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        precompile(Field(), Y0, **arguments)
    assert str(caught.value).startswith(message)
