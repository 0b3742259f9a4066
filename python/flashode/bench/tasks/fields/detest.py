"""Textbook problems: a choice from the test set DETEST, in its letters and numbers.

Hull, Enright, Fellen and Sedgwick, "Comparing Numerical Methods for Ordinary Differential Equations", SIAM
Journal on Numerical Analysis 9 (1972): single equations (A), small systems (B), moderate systems (C), orbits
(D) and equations of higher order (E). Each is written once, for torch, numpy and jax.numpy.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.tasks.fields import ArrayField, Field

# (torch, numpy or jax.numpy; t; the numbers of the state) → their rates of change.
Rates = Callable[[Any, Any, Sequence[Any]], Sequence[Any]]


class Detest(nn.Module):
    """One of the problems; it has no parameters."""

    def __init__(self, rates: Rates) -> None:
        super().__init__()
        self.rates = rates

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, dimensions)."""
        return torch.stack(tuple(self.rates(torch, t, y.unbind(-1))), -1)


def detest(rates: Rates) -> Field:
    """The field whose rates a function of single numbers gives."""
    return Field(partial(Detest, rates), partial(_arrays, rates=rates))


def _arrays(xp: Any, rates: Rates) -> ArrayField:
    def field(parameters: Sequence[Any], t: Any, y: Any) -> Any:
        return xp.stack(tuple(rates(xp, t, [y[..., i] for i in range(y.shape[-1])])), -1)

    return field


def oscillating_growth(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """A3: growth and decay in turn."""
    return (y[0] * xp.cos(t),)


def predator_and_prey(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """B1: two species in conflict (Lotka and Volterra)."""
    prey, predators = y
    return 2 * (prey - prey * predators), prey * predators - predators


def rigid_body(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """B5: Euler's equations of a body that no force acts on."""
    a, b, c = y
    return b * c, -a * c, -0.51 * a * b


def decay_chain(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """C1: each substance decays into the next, and the last one stays."""
    inner = [before - one for before, one in pairwise(y[:-1])]
    return (-y[0], *inner, y[-2])


def orbit(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """D1 to D5: two bodies; the state is the place and the velocity in the plane of the orbit."""
    a, b, u, v = y
    squared = a * a + b * b
    cubed = squared * xp.sqrt(squared)
    return u, v, -a / cubed, -b / cubed


def bessel(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """E1: Bessel's equation of order 1/2 from 1 on; the state is the function and its slope."""
    value, slope = y
    x = t + 1
    return slope, -(slope / x + (1 - 0.25 / (x * x)) * value)


def van_der_pol(xp: Any, t: Any, y: Sequence[Any]) -> Sequence[Any]:
    """E2: Van der Pol's oscillator; the state is the place and the velocity."""
    place, velocity = y
    return velocity, (1 - place * place) * velocity - place
