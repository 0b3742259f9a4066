"""The numbers of paths, beside SciPy's, and what they make of what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from flashode.paths import Cubic, Hermite, Linear, Path, Rectilinear

interpolate = pytest.importorskip("scipy.interpolate", reason="SciPy is not installed")

D = torch.float64
KNOTS = torch.tensor([-1.0, -0.7, 0.5, 0.6, 2.0, 2.1, 3.5], dtype=D)
CLOSE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-11}
KINDS: list[type[Path]] = [Linear, Rectilinear, Hermite, Cubic]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def times() -> Tensor:
    """Knots, between them, and within half a piece outside; not where derivatives jump."""
    return torch.cat([KNOTS + 0.01, torch.linspace(-1.1, 3.6, 53, dtype=D)])


def _linear(t: Any, v: Any) -> Callable[..., Any]:
    return interpolate.make_interp_spline(t, v, k=1, axis=-2)  # type: ignore[no-any-return]


def _hermite(t: Any, v: Any) -> Callable[..., Any]:
    slopes = np.diff(v, axis=-2) / np.diff(t)[:, None]
    before = np.concatenate([slopes[..., :1, :], slopes], -2)
    return interpolate.CubicHermiteSpline(t, v, before, axis=-2)  # type: ignore[no-any-return]


def _cubic(t: Any, v: Any) -> Callable[..., Any]:
    return interpolate.CubicSpline(t, v, axis=-2, bc_type="natural")  # type: ignore[no-any-return]


SCIPY = {Linear: _linear, Hermite: _hermite, Cubic: _cubic}


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)], ids=str)
@pytest.mark.parametrize("kind", SCIPY)
def test_values_and_derivatives_are_scipy_s(kind: type[Path], leading: tuple[int, ...]) -> None:
    values = drawn(*leading, len(KNOTS), 3)
    path, theirs = kind(KNOTS, values), SCIPY[kind](KNOTS.numpy(), values.numpy())
    for order, ours in enumerate((path.evaluate(times()), path.derivative(times()))):
        wanted = torch.from_numpy(np.moveaxis(np.asarray(theirs(times().numpy(), order)), 0, 0))
        torch.testing.assert_close(ours, wanted.reshape(ours.shape), **CLOSE)
    torch.testing.assert_close(path(KNOTS), values, **CLOSE)


@pytest.mark.parametrize("kind", SCIPY)
def test_two_knots_are_a_line(kind: type[Path]) -> None:
    values = drawn(2, 3)
    path = kind(KNOTS[:2], values)
    torch.testing.assert_close(path.derivative(5.0), (values[1] - values[0]) / 0.3, **CLOSE)
    torch.testing.assert_close(path.evaluate(-0.85), values.mean(0), **CLOSE)


def test_a_rectilinear_path_moves_in_time_first() -> None:
    path = Rectilinear(torch.tensor([0.0, 1.0, 3.0], dtype=D), torch.tensor([[5.0], [7.0], [4.0]], dtype=D))
    assert path.knots.tolist() == [0.0, 0.5, 1.0, 2.0, 3.0]
    assert path.evaluate(path.knots).tolist() == [[0, 5], [1, 5], [1, 7], [3, 7], [3, 4]]
    assert path.evaluate(0.25).tolist() == [0.5, 5.0]
    assert path.derivative(1.5).tolist() == [2.0, 0.0]
    assert path.derivative(2.5).tolist() == [0.0, -3.0]


@pytest.mark.parametrize("kind", [Hermite, Rectilinear])
def test_no_piece_depends_on_values_after_its_end(kind: type[Path]) -> None:
    values = drawn(len(KNOTS), 2)
    later = values.clone()
    later[4:] = 0.0
    until = times()[times() <= KNOTS[3]]
    assert torch.equal(kind(KNOTS, values).evaluate(until), kind(KNOTS, later).evaluate(until))


@pytest.mark.parametrize("kind", KINDS)
def test_a_knot_belongs_to_the_piece_that_begins_there(kind: type[Path]) -> None:
    path = kind(KNOTS, drawn(len(KNOTS), 2))
    at, after = path.derivative(path.knots[:-1]), path.derivative(path.knots[:-1] + 1e-9)
    torch.testing.assert_close(at, after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_times_of_any_shape(kind: type[Path], shape: tuple[int, ...]) -> None:
    path, t = kind(KNOTS, drawn(4, len(KNOTS), 2)), drawn(*shape)
    channels = 3 if kind is Rectilinear else 2
    for read in (path.evaluate, path.derivative):
        assert read(t).shape == (4, *shape, channels)
        flat = torch.stack([read(time) for time in t.reshape(-1)], 1).reshape(4, *shape, channels)
        torch.testing.assert_close(read(t), flat, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: type[Path]) -> None:
    values, t = drawn(2, 5, 2).requires_grad_(), torch.tensor([0.1, 0.57], dtype=D, requires_grad=True)

    def read(values: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        path = kind(KNOTS[:5], values)
        return path.evaluate(t), path.derivative(t)

    assert torch.autograd.gradcheck(read, (values, t))


MISSING = drawn(3, len(KNOTS), 2, seed=4)
MISSING[0, 2, 0] = MISSING[0, 4:6, 1] = MISSING[1, :2, 0] = MISSING[1, 5:, 1] = MISSING[2, :, 0] = torch.nan
MISSING[2, [0, 3, 6], 1] = torch.nan


def _observed(b: int, c: int) -> tuple[Any, Any]:
    """The knots and values of a channel, without those that are missing between its first and its last."""
    column = MISSING[b, :, c].numpy().copy()
    known = np.flatnonzero(~np.isnan(column))
    if not len(known):
        return KNOTS.numpy(), np.zeros(len(KNOTS))
    column[: known[0]], column[known[-1] :] = column[known[0]], column[known[-1]]
    keep = ~np.isnan(column)
    return KNOTS.numpy()[keep], column[keep]


@pytest.mark.parametrize("kind", SCIPY)
def test_missing_values(kind: type[Path]) -> None:
    path = kind(KNOTS, MISSING)
    for b in range(3):
        for c in range(2):
            t, column = _observed(b, c)
            if kind is Hermite:
                t, column = KNOTS.numpy(), np.interp(KNOTS.numpy(), t, column)
            theirs = SCIPY[kind](t, column[:, None])
            for order, ours in enumerate((path.evaluate(times()), path.derivative(times()))):
                wanted = torch.from_numpy(np.asarray(theirs(times().numpy(), order)))[:, 0]
                torch.testing.assert_close(ours[b, :, c], wanted, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_has_no_gradient(kind: type[Path]) -> None:
    values = MISSING.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kind(KNOTS, values).evaluate(times()).square().sum(), values)
    assert bool(gradient.isfinite().all())
    assert not bool(gradient[MISSING.isnan()].any())


WRONG: dict[str, tuple[type[Exception], Any, Any]] = {
    "t must be a tensor, got list": (TypeError, [0.0, 1.0], torch.ones(2, 1)),
    "values must be a tensor, got float": (TypeError, torch.arange(2.0), 1.0),
    "t must be of floating-point numbers, got torch.int64": (TypeError, torch.arange(2), torch.ones(2, 1)),
    "values must be of floating-point numbers, got torch.complex64": (
        TypeError,
        torch.arange(2.0),
        torch.ones(2, 1) * 1j,
    ),
    r"t must be 1-D and hold at least 2 knots, got shape \(1,\)": (
        ValueError,
        torch.arange(1.0),
        torch.ones(1, 1),
    ),
    r"got shape \(1, 2\)": (ValueError, torch.arange(2.0)[None], torch.ones(2, 1)),
    r"t must be finite and strictly increasing, got \[0.0, 2.0, 2.0\]": (
        ValueError,
        torch.tensor([0.0, 2.0, 2.0]),
        torch.ones(3, 1),
    ),
    "t must be finite": (ValueError, torch.tensor([0.0, torch.nan]), torch.ones(2, 1)),
    "t must not require grad": (ValueError, torch.arange(2.0).requires_grad_(), torch.ones(2, 1)),
    r"values must have shape \(..., 3, channels\), rows at each of t, got \(2, 1\)": (
        ValueError,
        torch.arange(3.0),
        torch.ones(2, 1),
    ),
    r"got \(3,\)": (ValueError, torch.arange(3.0), torch.ones(3)),
    r"got \(3, 0\)": (ValueError, torch.arange(3.0), torch.ones(3, 0)),
    "values must be of t's dtype and device, torch.float32 on cpu, got torch.float64": (
        ValueError,
        torch.arange(2.0),
        torch.ones(2, 1, dtype=D),
    ),
    "values must be finite, or NaN": (ValueError, torch.arange(2.0), torch.full((2, 1), torch.inf)),
}


@pytest.mark.parametrize("message", WRONG)
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input_is_named(kind: type[Path], message: str) -> None:
    error, t, values = WRONG[message]
    with pytest.raises(error, match=message):
        kind(t, values)


def test_knots_without_a_middle() -> None:
    t = torch.tensor([1.0, 1.0 + 2**-52], dtype=D)
    with pytest.raises(ValueError, match="leave room for a number"):
        Rectilinear(t, torch.ones(2, 1, dtype=D))


def test_a_path_is_a_module() -> None:
    path = Cubic(KNOTS.float(), drawn(len(KNOTS), 2).float()).double()
    assert path.evaluate(0.3).dtype == D
    assert path.interval.tolist() == [-1.0, 3.5]
    assert path.grid_points is path.knots
    other = Cubic(KNOTS, drawn(len(KNOTS), 2, seed=1))
    other.load_state_dict(path.state_dict())
    assert torch.equal(other.evaluate(0.3), path.evaluate(0.3))
