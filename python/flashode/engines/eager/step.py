"""Single steps in torch: what takes them, and explicit Runge-Kutta ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.autograd import forward_ad

from flashode.dispatch import cached
from flashode.methods import Tableau
from flashode.problem import FixedOptions, Problem
from flashode.statistics import Statistics

# Sums of no more terms than this are added up one by one, in as many tensor operations.
_FEW = 6


@dataclass(frozen=True)
class Row:
    """Weights of slopes: index and weight of each that is not zero, and all of them as a tensor."""

    terms: tuple[tuple[int, float], ...]
    vector: torch.Tensor


def make_row(numbers: Sequence[float], dtype: torch.dtype, device: torch.device) -> Row:
    """A row for states of this kind; cheap enough for once a solve, not for once a step."""
    vector = torch.tensor(numbers, dtype=dtype, device=device)
    return Row(tuple((i, weight) for i, weight in enumerate(numbers) if weight), vector)


@dataclass(frozen=True)
class Weights:
    """A tableau's rows for states of one dtype on one device."""

    a: tuple[Row, ...]
    b: Row
    b_error: torch.Tensor
    c: torch.Tensor  # real


@cached
def weights(tableau: Tableau, dtype: torch.dtype, device: torch.device) -> Weights:
    """The tableau's rows for states of this kind."""
    floats = tableau.floats()
    return Weights(
        a=tuple(make_row(row, dtype, device) for row in floats.a),
        b=make_row(floats.b, dtype, device),
        b_error=make_row(floats.b_error, dtype, device).vector,
        c=make_row(floats.c, dtype.to_real(), device).vector,
    )


@dataclass(frozen=True)
class Clock:
    """The start, size and end of a step in solver time.

    Time is computed in floats. What autograd must know of it is carried by 0-d tensors whose value is zero.
    """

    t0: float
    dt: float
    t1: float
    shift: torch.Tensor | None = None  # connected to what t0 depends on
    stretch: torch.Tensor | None = None  # connected to what dt depends on

    @cached_property
    def moving_dt(self) -> torch.Tensor:
        """The size with its stretch, 0-d."""
        assert self.stretch is not None
        return self.stretch + self.dt

    @cached_property
    def end(self) -> torch.Tensor | None:
        """0-d zero connected to what ``t1`` depends on, or None."""
        if self.shift is None or self.stretch is None:
            return self.shift if self.stretch is None else self.stretch
        return self.shift + self.stretch


def is_differentiated(times: torch.Tensor) -> bool:
    """Whether derivatives in these times may be asked for, backward or forward."""
    return (times.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0


def just_before(t: float, dtype: torch.dtype) -> float:
    """The floating-point number below ``t`` in ``dtype``."""
    return _neighbour(t, dtype, -math.inf)


def just_after(t: float, dtype: torch.dtype) -> float:
    """The floating-point number above ``t`` in ``dtype``."""
    return _neighbour(t, dtype, math.inf)


def _neighbour(t: float, dtype: torch.dtype, towards: float) -> float:
    if dtype == torch.float64:
        return math.nextafter(t, towards)
    x, limit = torch.tensor([t, towards], dtype=dtype, device="cpu").unbind()
    return float(torch.nextafter(x, limit))


class RungeKuttaStepper:
    """Evaluates a problem's field, counting, and takes the steps of an explicit Runge-Kutta method."""

    def __init__(self, problem: Problem, statistics: Statistics, tableau: Tableau) -> None:
        self.problem = problem
        self.statistics = statistics
        self.tableau = tableau
        # Whether stages at an end of the step see the floating-point time inside, so that a discontinuity
        # there is not touched. Steps that an error estimate chooses know their first stage.
        self._starts_inside = isinstance(problem.options, FixedOptions) and problem.options.perturb
        self._ends_inside = self._starts_inside or tableau.control == "error"
        self._c = tableau.floats().c
        self._weights = weights(tableau, problem.y0.dtype, problem.y0.device)
        self._dtype = problem.real_dtype
        self._device = problem.y0.device

    def evaluate(self, t: float, shift: torch.Tensor | None, y: torch.Tensor) -> torch.Tensor:
        """The field at one time."""
        return self.rate(self.time(t, shift), y.clone())

    def first_slope(self, clock: Clock, y0: torch.Tensor) -> torch.Tensor:
        """The field at the start of a step."""
        start = just_after(clock.t0, self._dtype) if self._starts_inside else clock.t0
        return self.evaluate(start, clock.shift, y0)

    def time(self, t: float, shift: torch.Tensor | None) -> torch.Tensor:
        """A solver time as the field gets it."""
        time = torch.full((), t, dtype=self._dtype, device=self._device)
        return time if shift is None else time + shift.to(self._dtype)

    def step(
        self, clock: Clock, y0: torch.Tensor, f0: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The slopes that the step evaluated, first that at its start, and its solution.

        Args:
            clock: The step.
            y0: State at its start.
            f0: The slope there if it is known, else it is evaluated.
        """
        times = self._stage_times(clock)
        k = [self.rate(times[0], y0.clone()) if f0 is None else f0]
        y, last, fsal = y0, self.tableau.stages - 1, self.tableau.fsal
        for i in range(1, last + 1):
            y = combine(y0, k, self._weights.a[i], clock)
            k.append(self.rate(times[i], y.clone() if fsal and i == last else y))
        if not fsal:
            y = combine(y0, k, self._weights.b, clock)
        return k, y

    def error_estimate(self, k: list[torch.Tensor], dt: float) -> torch.Tensor:
        """Difference between the solution and the embedded one, from the stages of a step."""
        flat = torch.stack(k).view(len(k), k[0].numel())
        return torch.mv(flat.t(), self._weights.b_error).view(k[0].shape).mul_(dt)

    def rate(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The field at a tensor of :meth:`time` and a state, both of which it may write on."""
        self.statistics.evaluations += 1
        return self.problem.field(t, y)

    def _stage_times(self, clock: Clock) -> tuple[torch.Tensor, ...]:
        times = [clock.t1 if c == 1 else clock.t0 + c * clock.dt for c in self._c]
        if self._ends_inside:
            end = just_before(clock.t1, self._dtype)
            times = [end if c == 1 else t for c, t in zip(self._c, times, strict=True)]
        if self._starts_inside and self._c[0] == 0:
            times[0] = just_after(clock.t0, self._dtype)
        if len(times) == 1 and (clock.stretch is None or self._c == (0.0,)):
            return (self.time(times[0], clock.shift),)
        stacked = torch.tensor(times, dtype=self._dtype, device=self._device)
        if clock.shift is not None:
            stacked = stacked + clock.shift.to(self._dtype)
        if clock.stretch is not None:
            stacked = torch.addcmul(stacked, self._weights.c, clock.stretch.to(self._dtype))
        stages = stacked.unbind()
        # The field may write on its time, which autograd notices in all views of one tensor.
        return tuple(map(torch.clone, stages)) if torch.is_grad_enabled() else stages


def combine(y0: torch.Tensor, k: Sequence[torch.Tensor], row: Row, clock: Clock) -> torch.Tensor:
    """``y0 + dt * sum_i row[i] k[i]``, in few tensor operations: they are what a small problem costs."""
    if not row.terms:
        return y0
    if len(row.terms) > _FEW:
        scale = 1.0
        slope = torch.mv(_columns(k), row.vector).view(y0.shape)
    else:
        # The slopes first and the state last, so that its rounding is met with once.
        (i, scale), *rest = row.terms
        slope = k[i]
        for i, weight in rest:
            slope = torch.add(slope, k[i], alpha=weight / scale)
    if clock.stretch is None:
        return torch.add(y0, slope, alpha=clock.dt * scale)
    return y0 + (clock.moving_dt * scale).to(y0.dtype) * slope


def _columns(k: Sequence[torch.Tensor]) -> torch.Tensor:
    """Slopes side by side: (elements, slopes)."""
    return torch.stack(tuple(k)).view(len(k), k[0].numel()).t()
