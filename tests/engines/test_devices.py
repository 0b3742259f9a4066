"""Where the tensors of a solve are made: at the state, or on the CPU, not where torch happens to put them.

The meta device stands for a GPU: it has no numbers, and whoever reads some from it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flashode import NonFiniteError, odeint, odeint_adjoint, odeint_dense
from flashode.capture.lowering.prologue import PrologueBuilder
from flashode.engines.compiled.grids import time_gradients
from flashode.memory import is_plain
from flashode.problem import make_problem

META = torch.device("meta")
CPU = torch.device("cpu")
T = torch.tensor([0.0, 0.4, 1.0])
Y0 = torch.tensor([[0.3, -0.2], [1.0, 0.5], [-0.4, 0.1]], dtype=torch.float64)


class Field(nn.Module):
    """Weights that a prologue changes, numbers that are folded, and a constant that is picked apart."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.1, 0.7], [-0.6, 0.2]], dtype=torch.float64))
        self.register_buffer("index", torch.tensor([1, 0]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        skew = self.weight - self.weight.T
        return torch.tanh(y[:, self.index] @ skew) * torch.exp(-t) + y.new_ones(2).cumsum(0) / 7.0


def fixed(y0: Tensor, field: Field) -> Tensor:
    return odeint(field, y0, T, method="rk4", options={"step_size": 0.3})  # type: ignore[no-any-return]


def prescribed(y0: Tensor, field: Field) -> Tensor:
    return odeint(field, y0, T, options={"jump_t": [0.5], "step_t": [0.2]})  # type: ignore[no-any-return]


def adjoint(y0: Tensor, field: Field) -> Tensor:
    return odeint_adjoint(field, y0, T)  # type: ignore[no-any-return]


def dense(y0: Tensor, field: Field) -> Tensor:
    return odeint_dense(field, y0, 0.0, 1.0)(0.3)  # type: ignore[no-any-return]


def event(y0: Tensor, field: Field) -> Tensor:
    return odeint(field, y0, T[:2], event_fn=lambda t, y: t - 0.3)[1]  # type: ignore[no-any-return]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it torch makes tensors on another device than the state's, if it is not told where."""
    monkeypatch.setattr("flashode.capture.guards.environment._default_device", lambda device: True)
    with META:
        yield


@pytest.mark.parametrize("solve", [fixed, prescribed, adjoint, dense, event])
def test_whatever_torchs_default_device_is(
    engine: str, solve: Callable[[Tensor, Field], Tensor], request: pytest.FixtureRequest
) -> None:
    def solved() -> tuple[Tensor, ...]:
        y0 = Y0.clone().requires_grad_()
        solution = solve(y0, field)
        return solution, *torch.autograd.grad(solution.sum(), (y0, field.weight))

    field = Field()
    expected = solved()
    request.getfixturevalue("elsewhere")
    for ours, theirs in zip(solved(), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_a_failure_whatever_torchs_default_device_is(engine: str, elsewhere: None) -> None:
    with pytest.raises(NonFiniteError, match=r"trajectory \(1,\)"):
        odeint(lambda t, y: y * y, torch.tensor([[1.0], [1e30]], device="cpu"), T)


def builder(*slots: Tensor) -> PrologueBuilder:
    return PrologueBuilder(torch.float32, META, slots)


def test_what_a_function_owns_elsewhere_is_moved_to_the_state() -> None:
    slots = torch.ones(2, 3), torch.ones((), dtype=torch.float64), torch.ones(3, device="meta")
    making = builder(*slots)
    registers = [making.slot(slot, tuple(tensor.shape)) for slot, tensor in enumerate(slots)]
    registers.append(making.transposed(registers[0]))
    registers.append(making.assembled(registers[1:3], [0, 1, 2, 3], (4,)))
    prologue = making.finish(registers)
    outputs = prologue.run(slots)
    assert {(x.device, x.dtype) for x in outputs} == {(META, torch.float32)}
    assert [tuple(x.shape) for x in outputs] == [(2, 3), (), (3,), (3, 2), (4,)]
    assert outputs[2] is slots[2]
    assert prologue.transposes() == [(3, 0)]
    assert prologue.describe(["a", "b", "c"]) == ["a", "b", "c", "mT(a)", "rows(b, c)"]


def test_gradients_in_times_are_where_the_times_are() -> None:
    problem = make_problem(Field(), Y0, T, rtol=1e-3, atol=1e-3, method=None, options=None)
    problem.t = problem.t.to(META)
    gradient, of_grid = time_gradients(
        problem, None, torch.zeros(3, dtype=torch.float64), torch.zeros(1).double()
    )
    assert (gradient.device, gradient.dtype, of_grid) == (META, T.dtype, ())


@pytest.mark.parametrize(("tensor", "plain"), [(torch.ones(2), True), (torch.ones(2, device="meta"), False)])
def test_numbers_that_can_be_read(tensor: Any, plain: bool) -> None:
    assert is_plain(tensor) is plain
