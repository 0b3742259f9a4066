"""Element-wise functions: values and gradients are torch's, at kinks and zeros as well."""

import math

import pytest
import torch
from torch import Tensor

from capture.agreement import Field, agrees, evaluated, must_capture, random
from capture.exactly import lowers, states

D = torch.float64
EDGES = states(0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0)
INSIDE = random(4, 3).tanh() * 0.9

ANYWHERE: dict[str, Field] = {
    "asinh": lambda t, y: torch.asinh(y),
    "sinh cosh": lambda t, y: torch.sinh(y) * torch.cosh(y),
    "atan": lambda t, y: torch.atan(y),
    "atan2": lambda t, y: torch.atan2(y + 0.1, t - 0.3) + torch.atan2(t + 2, y),
    "sign": lambda t, y: torch.sign(y) * y + torch.sgn(y),
    "abs": lambda t, y: y.abs() * t,
    "floor": lambda t, y: torch.floor(y) * y,
    "ceil": lambda t, y: torch.ceil(y) * y,
    "round": lambda t, y: torch.round(y) * y,
    "round to decimals": lambda t, y: torch.round(y, decimals=1) * y,
    "round to tens": lambda t, y: torch.round(30 * y, decimals=-1) * y,
    "trunc": lambda t, y: torch.trunc(y) * y,
    "frac": lambda t, y: torch.frac(y * 1.7),
    "fmod": lambda t, y: torch.fmod(y, 0.7),
    "fmod of tensors": lambda t, y: torch.fmod(y, t + 0.3),
    "remainder": lambda t, y: y % 0.7,
    "remainder of tensors": lambda t, y: (
        torch.remainder(y, -0.3 - t) + torch.remainder(t + 3.0, y.abs() + 0.2)
    ),
    "div rounding down": lambda t, y: torch.div(y, t + 0.3, rounding_mode="floor") * y,
    "div a number": lambda t, y: torch.div(torch.tensor(2.0, dtype=D), y, rounding_mode="floor") * y,
    "div rounding to zero": lambda t, y: torch.div(y, 0.3, rounding_mode="trunc") * y,
    "clamp": lambda t, y: y.clamp(-1.0, 0.5),
    "clamp from below": lambda t, y: y.clamp(min=0.5) * y,
    "clamp to tensors": lambda t, y: torch.clamp(y, t - 0.7, t + 0.5),
    "clamp to crossing tensors": lambda t, y: torch.clamp(y, t, 1 - t),
    "clamp to meeting tensors": lambda t, y: torch.clamp(y, t, 1.0 * t),
    "clamp_min to a tensor": lambda t, y: torch.clamp_min(y, t),
    "clamp_max to a tensor": lambda t, y: torch.clamp(y, max=t),
    "maximum": lambda t, y: torch.maximum(y, t * y) + torch.max(y, -y),
    "minimum": lambda t, y: torch.minimum(y, t * y) + torch.min(y, -y),
    "fmax": lambda t, y: torch.fmax(y, t * y) + torch.fmin(y, -y),
    "nan_to_num": lambda t, y: torch.nan_to_num(y) * y,
    "logaddexp": lambda t, y: torch.logaddexp(y, t * y) + torch.logaddexp2(y, -y),
    "sinc": lambda t, y: torch.sinc(y),
    "exp2": lambda t, y: torch.exp2(y),
    "expm1": lambda t, y: torch.expm1(y),
    "square": lambda t, y: torch.square(y),
    "pow 0": lambda t, y: y**0 * y,
    "pow 1": lambda t, y: y**1,
    "pow 3": lambda t, y: y**3,
    "pow of a number": lambda t, y: 2.0**y + 0.5 ** (t * y),
    "pow of zero": lambda t, y: 0.0 ** y.abs(),
    "negative tensor exponents": lambda t, y: y ** torch.tensor([2.0, 3.0, 0.0], dtype=D),
    "addcmul": lambda t, y: torch.addcmul(y, y, t * y, value=0.3),
    "lerp": lambda t, y: torch.lerp(y, y.sin(), t),
    "positive": lambda t, y: +y - torch.neg(y),
    "deg2rad": lambda t, y: torch.deg2rad(y) + torch.rad2deg(y),
    "copies": lambda t, y: y.clone().contiguous().to(D),
}

WHERE_POSITIVE: dict[str, Field] = {
    "sqrt": lambda t, y: y.sqrt(),
    "rsqrt": lambda t, y: y.rsqrt(),
    "reciprocal": lambda t, y: y.reciprocal() + 1 / y,
    "log": lambda t, y: y.log() + y.log2() + y.log10() + y.log1p(),
    "acosh": lambda t, y: torch.acosh(1 + y),
    "pow -1": lambda t, y: y**-1,
    "pow -3": lambda t, y: y**-3,
    "pow -0.5": lambda t, y: y**-0.5,
    "pow 2.5": lambda t, y: y**2.5,
    "tensor exponent": lambda t, y: y**y + y ** (t - 1),
    "float_power": lambda t, y: torch.float_power(y, 1.5),
    "xlogy": lambda t, y: torch.xlogy(y, y) + torch.xlogy(2.0, y) + torch.xlogy(t, y),
    "hypot": lambda t, y: torch.hypot(y, t * y),
    "addcdiv": lambda t, y: torch.addcdiv(y, t * y, y + 1, value=0.3),
}


@pytest.mark.parametrize("name", ANYWHERE)
def test_of_any_number(name: str) -> None:
    lowers(ANYWHERE[name], 2 * random(4, 3), [EDGES])


@pytest.mark.parametrize("name", WHERE_POSITIVE)
def test_of_positive_numbers(name: str) -> None:
    func = WHERE_POSITIVE[name]
    lowers(lambda t, y: func(t, y.abs() + 0.01), random(4, 3), [EDGES + 0.1])


@pytest.mark.parametrize("fn", [torch.asin, torch.acos, torch.atanh, torch.logit, torch.special.logit])
def test_inside_the_unit_interval(fn: Field) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return fn(0.3 + 0.2 * y.tanh())  # type: ignore[call-arg]

    lowers(func, INSIDE)


def test_logit_clamps_its_argument() -> None:
    lowers(lambda t, y: torch.logit(y, eps=0.25), INSIDE, [states(0.25, 0.5, 0.75, 0.9, -1.0)])


@pytest.mark.parametrize("name", ["y", "t", "t * y"])
def test_xlogy_at_zero(name: str) -> None:
    func: dict[str, Field] = {
        "y": lambda t, y: torch.xlogy(y, y.abs() + 1),
        "t": lambda t, y: torch.xlogy(t, y.abs() + 1),
        "t * y": lambda t, y: torch.xlogy(t * y, 2.0),
    }
    lowers(func[name], random(4, 3), [EDGES])


def test_floor_division_takes_the_remainder_away_first() -> None:
    """1.0 // 0.1 is 9, although 1 / 0.1 rounds to 10."""
    lowers(
        lambda t, y: torch.div(y, 0.1, rounding_mode="floor") * y,
        random(4, 3),
        [states(1.0, -1.0, 0.3, 0.6, 0.7)],
    )


def test_not_a_number_loses_in_fmax_and_spreads_in_maximum() -> None:
    odd = states(math.nan, 1.0, -1.0)
    lowers(lambda t, y: torch.fmax(y, y.new_zeros(3)) + torch.fmin(y, t), random(4, 3), [odd])
    lowers(lambda t, y: torch.maximum(y, t), random(4, 3), [odd])


def test_sizes_whose_squares_overflow_or_vanish() -> None:
    extreme = states(1e200, -1e200, 1e-200, 3e-200, -torch.inf, 1.0)
    captured = lowers(lambda t, y: torch.hypot(y, y.flip(-1)), random(4, 3))
    values = captured.program.interpret(torch.tensor(0.0, dtype=D), extreme, [])
    torch.testing.assert_close(values, torch.hypot(extreme, extreme.flip(-1)), rtol=1e-14, atol=0.0)


def test_sums_of_infinite_logarithms() -> None:
    extreme = states(-math.inf, math.inf, 0.0, 800.0, -800.0)
    captured = lowers(lambda t, y: torch.logaddexp(y, y.flip(-1)), random(4, 3))
    values = captured.program.interpret(torch.tensor(0.0, dtype=D), extreme, [])
    torch.testing.assert_close(values, torch.logaddexp(extreme, extreme.flip(-1)))


def test_infinities_are_replaced() -> None:
    odd = states(math.nan, 1.0, math.inf, -math.inf)

    def func(t: Tensor, y: Tensor) -> Tensor:
        return torch.nan_to_num(y, nan=1.0, posinf=2.0, neginf=-3.0)

    captured = lowers(func, random(4, 3))
    result = captured.program.interpret(torch.tensor(0.0, dtype=D), odd, [])
    torch.testing.assert_close(result, func(torch.tensor(0.0), odd))


STEPS: dict[str, Field] = {
    "divided": lambda t, y: torch.floor(y / 0.1),
    "divided by little": lambda t, y: y / 1e-310,
    "dividing": lambda t, y: torch.floor(torch.div(torch.tensor(49.0, dtype=D), y)),
    "log2": lambda t, y: torch.floor(torch.log2(y)),
    "log10": lambda t, y: torch.floor(torch.log10(y)),
    "exp2": lambda t, y: torch.floor(torch.exp2(y)),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_quotient_and_powers_of_two_and_ten_are_not_off_by_a_bit(name: str) -> None:
    func = STEPS[name]
    state = torch.tensor([[0.3, 0.6, 0.7], [49.0, 29.0, 31.0], [1000.0, 1024.0, 1e5]], dtype=D)
    captured = must_capture(func, state[:1])
    torch.testing.assert_close(
        evaluated(captured, state[0, 0], state), func(state[0, 0], state), rtol=0, atol=0
    )


@pytest.mark.parametrize("shift", [None, 0.0, -0.0])
def test_the_sign_of_zero_is_kept(shift: float | None) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        scaled = -1.0 * y
        return torch.atan2(scaled if shift is None else scaled + shift, y - 1.0)

    state = torch.zeros(2, 3, dtype=D)
    captured = must_capture(func, state + 0.5)
    torch.testing.assert_close(evaluated(captured, state[0, 0], state), func(state[0, 0], state))


def test_booleans_added() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return ((y > 0.0) + (y < 0.5)) * y

    agrees(func, must_capture(func, INSIDE), EDGES)
