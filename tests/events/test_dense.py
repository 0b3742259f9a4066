"""odeint_dense: the solution as a function of time, against odeint at the same times."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from flashode import METHODS, DenseOutput, StepSizeUnderflow, odeint, odeint_dense
from flashode.methods import Adams, SciPy
from problems import ComplexRotation, Network, Pair, Scalar, Spiral, parts, values

DENSE = [name for name, method in METHODS.items() if not isinstance(method, SciPy)]
SIGNS = [1, -1]


def settings(method: str, **more: Any) -> dict[str, Any]:
    """Arguments with which two solves take the same steps whatever their outputs are."""
    if METHODS[method].control == "error":
        return {"method": method, "rtol": 1e-5, "atol": 1e-6, "options": {"first_step": 0.05, **more}}
    more = {"max_iters": 30, **more} if isinstance(METHODS[method], Adams) else more
    return {"method": method, "options": {"step_size": 0.17, **more}}


def times(sign: float, count: int = 9) -> Tensor:
    return sign * torch.linspace(0.1, 2.0, count, dtype=torch.float64)


def check(func: Any, y0: Any, sign: float, arguments: dict[str, Any], tolerance: float = 1e-12) -> None:
    """Values and gradients are odeint's."""
    results = []
    for dense in (False, True):
        start = tuple(part.detach().clone().requires_grad_() for part in parts(y0))
        state = start if isinstance(y0, tuple) else start[0]
        t = times(sign).requires_grad_()
        if dense:
            output = odeint_dense(func, state, t[0], t[-1], **arguments)
            solution = output(t)
        else:
            solution = odeint(func, state, t, **arguments)
        components = parts(solution)
        loss = sum(
            (part * torch.cos(torch.arange(part.numel()).reshape(part.shape))).abs().square().sum()
            for part in components
        )
        gradients = torch.autograd.grad(loss, [*start, t, *func.parameters()])
        results.append([*(part.detach() for part in components), *gradients])
    for x, y in zip(*results, strict=True):
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance * max(1.0, float(y.abs().max())))


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("method", DENSE)
def test_every_method(engine: str, method: str, sign: int) -> None:
    check(Spiral(), torch.tensor([1.0, 0.2], dtype=torch.float64), sign, settings(method), 1e-10)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("method", ["rk4", "midpoint", "implicit_adams"])
def test_cubic(engine: str, method: str, sign: int) -> None:
    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
    check(Spiral(), y0, sign, settings(method, interp="cubic"), 1e-11)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("kind", ["step_t", "jump_t"])
def test_prescribed_times(engine: str, kind: str, sign: int) -> None:
    """What comes after such a time does not move with the start."""
    prescribed = sign * torch.tensor([0.45, 1.3], dtype=torch.float64)
    check(Network(), values(4, 3), sign, settings("dopri5", **{kind: prescribed}), 1e-9)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize(
    ("func", "y0"),
    [
        (Network(), values(4, 3)),
        (Network(), values(2, 5, 3)),
        (Scalar(), values()),
        (Pair(), (values(4, 3), values(4, 1))),
        (ComplexRotation(), torch.complex(values(3), values(3).flip(0))),
    ],
    ids=["batch", "two batch dimensions", "0-d", "tuple", "complex"],
)
def test_kinds_of_states(engine: str, method: str, func: Any, y0: Any) -> None:
    check(func, y0, 1, settings(method), 1e-10)


def test_single_precision(engine: str) -> None:
    y0 = torch.tensor([1.0, 0.2])
    t = torch.linspace(0.1, 2, 7)
    arguments = settings("dopri5")
    output = odeint_dense(Spiral(dtype=torch.float32), y0, t[0], t[-1], **arguments)
    actual = output(t)
    assert actual.dtype == torch.float32
    expected = odeint(Spiral(dtype=torch.float32), y0, t, **arguments)
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-6)


def test_shapes_of_times(engine: str) -> None:
    y0 = (values(4, 3), values(4, 1))
    output = odeint_dense(Pair(), y0, 0.0, 1.0)
    for t in (torch.tensor(0.3), torch.linspace(0, 1, 5), torch.full((2, 3), 0.7), torch.zeros(0)):
        first, second = output(t)
        assert first.shape == (*t.shape, 4, 3)
        assert second.shape == (*t.shape, 4, 1)
    assert output(0.3)[0].shape == output(1)[0].shape == (4, 3)
    together = output(torch.tensor([0.3, 1.0], dtype=torch.float64))
    for i, t in enumerate((0.3, 1)):
        for part, whole in zip(output(t), together, strict=True):
            torch.testing.assert_close(part, whole[i], rtol=0, atol=1e-14)
    for part, start in zip(output(0.0), y0, strict=True):
        torch.testing.assert_close(part, start, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        # Steps of one size: numerical derivatives would see another size that another tolerance asks for.
        ("dopri5", {"first_step": 0.23, "min_step": 0.23, "max_step": 0.23}),
        ("rk4", {"interp": "cubic"}),
    ],
)
@pytest.mark.parametrize("sign", SIGNS)
def test_gradcheck(engine: str, method: str, more: dict[str, Any], sign: int) -> None:
    """To the second order, in the state, the ends, the parameters and the times asked for."""

    def solution(y0: Tensor, t0: Tensor, t1: Tensor, weight: Tensor, t: Tensor) -> Any:
        field = Spiral()
        del field.linear.weight
        field.linear.weight = weight
        return odeint_dense(field, y0, t0, t1, **settings(method, **more))(t)

    inputs = (
        torch.tensor([1.0, 0.2], dtype=torch.float64),
        sign * torch.tensor(0.1, dtype=torch.float64),
        sign * torch.tensor(1.0, dtype=torch.float64),
        Spiral().linear.weight.detach(),
        sign * torch.tensor([0.21, 0.6, 0.93], dtype=torch.float64),
    )
    leaves = tuple(x.clone().requires_grad_() for x in inputs)
    assert torch.autograd.gradcheck(solution, leaves)
    assert torch.autograd.gradgradcheck(solution, leaves)


def test_closure_tensors_receive_gradients(engine: str) -> None:
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    output = odeint_dense(lambda t, y: -rate * y, torch.ones(2, dtype=torch.float64), 0.0, 2.0)
    (gradient,) = torch.autograd.grad(output(1.5).sum(), rate)
    assert float(gradient) == pytest.approx(-3 * float(torch.exp(torch.tensor(-1.05))), rel=1e-6)


def test_one_solve_serves_all_calls(engine: str) -> None:
    func = Spiral()
    output = odeint_dense(func, torch.tensor([1.0, 0.2], dtype=torch.float64), 0.0, 2.0)
    count = func.nfe
    output(torch.linspace(0, 2, 100))
    output(1.0)
    assert func.nfe == count
    assert output.statistics is not None
    assert output.statistics.evaluations == count
    assert output.statistics.accepted == output.steps


def test_a_point_twice_in_the_grid(engine: str) -> None:
    def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0], dtype=torch.float64)

    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
    output = odeint_dense(Spiral(), y0, 0.0, 1.0, method="rk4", options={"grid_constructor": grid})
    expected = odeint_dense(Spiral(), y0, 0.0, 1.0, method="rk4", options={"step_size": 0.5})
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(output(t), expected(t), rtol=0, atol=1e-15)


def test_what_it_says_of_itself(engine: str) -> None:
    output = odeint_dense(
        Spiral(torch.float32), torch.ones(2), 0.5, -1.0, method="rk4", options={"step_size": 0.5}
    )
    assert isinstance(output, DenseOutput)
    assert (output.t0, output.t1, output.steps) == (0.5, -1.0, 3)
    assert repr(output) == "DenseOutput(t0=0.5, t1=-1, method='rk4', steps=3)"


@pytest.mark.parametrize("sign", SIGNS)
def test_times_outside(engine: str, sign: int) -> None:
    output = odeint_dense(Spiral(), torch.ones(2, dtype=torch.float64), sign * 0.5, sign * 1.5)
    low, high = sorted((sign * 0.5, sign * 1.5))
    for t in (sign * 0.4, sign * torch.tensor([1.0, 1.6]), torch.tensor(float("nan")), float("inf")):
        with pytest.raises(
            ValueError, match=f"t must lie between {low} and {high}, where the solution is known"
        ):
            output(t)
    with pytest.raises(ValueError, match="got 7, 8, 9 and 2 more"):
        output(torch.arange(7.0, 12.0))
    # The nearest float32 to a bound may lie outside.
    narrow = odeint_dense(Spiral(torch.float32), torch.ones(2), sign * 0.7, sign * 1.3)
    assert narrow(sign * torch.tensor([0.7, 1.3])).shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"method": "scipy_solver"},
            ValueError,
            "method must be one with an interpolant, got 'scipy_solver'",
        ),
        ({"t1": 0.0}, ValueError, "t0 and t1 must differ, got 0 for both"),
        ({"t1": torch.ones(2)}, ValueError, r"t1 must hold one time, got shape \(2,\)"),
        ({"t0": "0"}, TypeError, "t0 must be a 0-d floating-point tensor or a number, got str"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    keywords = {"t0": 0.0, "t1": 1.0, **arguments}
    with pytest.raises(error, match=message):
        odeint_dense(
            Spiral(), torch.ones(2, dtype=torch.float64), keywords.pop("t0"), keywords.pop("t1"), **keywords
        )


@pytest.mark.parametrize("t", ["0.5", torch.tensor(0.5j), torch.tensor(True), [0.1, 0.2]])
def test_bad_times(engine: str, t: Any) -> None:
    output = odeint_dense(Spiral(), torch.ones(2, dtype=torch.float64), 0.0, 1.0)
    with pytest.raises(TypeError, match="t must be a number or a real tensor, got"):
        output(t)


def test_errors_of_the_solve(engine: str) -> None:
    """The solution so far is only the start: the nodes were not asked for."""
    y0 = torch.ones(1, dtype=torch.float64)
    with pytest.raises(StepSizeUnderflow) as raised:
        odeint_dense(lambda t, y: y * y, y0, 0.0, 2.0)
    assert raised.value.times is not None
    assert raised.value.times.tolist() == [0]
    assert isinstance(raised.value.partial, Tensor)
    assert torch.equal(raised.value.partial, y0[None])
