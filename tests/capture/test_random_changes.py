"""Random changes of random fields between random solves: none differs from torchdiffeq's.

A few are tried every day, the same ones each time. FLASHODE_CHANGES_MINUTES tries others, for so long.
"""

import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import hypothesis
import torch
import torchdiffeq
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from torch import Tensor

import flashode
from capture.agreement import captured_at
from capture.changing_sources import SOURCES, Base, OtherBase
from flashode.capture import Capture
from flashode.errors import AdjointWarning, FallbackWarning, SolverError

MINUTES = float(os.environ.get("FLASHODE_CHANGES_MINUTES", "0"))
COUNTS: Counter[str] = Counter()
# Some of the fields would be stepped through for ever.
ADAPTIVE = {"first_step": 0.25, "max_num_steps": 500}
NUMBERS = (0.5, -0.5, 1.0, 0.25, 0.0, -0.0, 0.75)


class Solved:
    """A solve, and what came of it.

    Attributes:
        error: what it raised, or the backward pass; None for nothing.
        results: the solution, and the gradients of its end in the state and in what the field owns.
    """

    def __init__(self, library: Any, func: Any, owned: list[Tensor], draw: "Draw") -> None:
        self.error: type[Exception] | None = None
        self.results: list[Tensor] = []
        self._owned = owned
        self._y0 = torch.linspace(-1, 1, 2 * draw.batch).reshape(draw.batch, 2).requires_grad_(draw.graded)
        options = {"step_size": 0.25} if draw.method == "rk4" else ADAPTIVE
        adjoint = {"adjoint_params": tuple(owned)} if draw.adjoint else {}
        solve = library.odeint_adjoint if draw.adjoint else library.odeint
        try:
            with torch.set_grad_enabled(draw.graded), _quiet(), torch.random.fork_rng():
                torch.manual_seed(0)
                y0, t = self._y0, torch.linspace(0, 1, 3)
                self._end = solve(func, y0, t, method=draw.method, options=options, **adjoint)[-1]
            self.results.append(self._end.detach())
        except Exception as error:
            self.error = type(error)

    def differentiate(self) -> None:
        """Adds the gradients to the results, if there are any."""
        if self.error is not None or not self._end.requires_grad:
            return
        try:
            with _quiet():
                sources = [self._y0, *self._owned]
                self.results += torch.autograd.grad(self._end.sum(), sources, materialize_grads=True)
        except Exception as error:
            self.error = type(error)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        warnings.simplefilter("ignore", AdjointWarning)
        yield


class Draw(NamedTuple):
    """How a field is solved."""

    batch: int
    method: str
    graded: bool
    adjoint: bool


DRAWS = st.builds(
    Draw,
    st.sampled_from([1, 3, 5]),
    st.sampled_from(["rk4", "dopri5", "euler"]),
    st.booleans(),
    st.booleans(),
)


class Changes(RuleBasedStateMachine):
    """A field of several sources, which change between solves."""

    @initialize(names=st.lists(st.sampled_from(sorted(SOURCES)), min_size=1, max_size=4, unique=True))
    def make_field(self, names: list[str]) -> None:
        self.sources = [SOURCES[name] for name in names]
        self.space: dict[str, Any] = {"torch": torch, "base": Base, "other": OtherBase, "__name__": "users"}
        torch.manual_seed(0)
        for source in self.sources:
            source.make(self.space)
        terms = "".join(f" + 0.3 * {source.read}" for source in self.sources)
        exec(f"def field(t, y): return 0.1 * y{terms} * (t - y)", self.space)

    def _change(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(self.sources))
        change = data.draw(st.sampled_from(range(len(source.changes))))
        try:
            source.changes[change](self.space, data.draw(st.sampled_from(NUMBERS)))
        except Exception:
            # Earlier changes have made it impossible.
            hypothesis.event("an impossible change")

    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        self._change(data)

    @rule(data=st.data(), draw=DRAWS, how=st.sampled_from(["itself", "lambda", "again"]), late=st.booleans())
    def solve(self, data: st.DataObject, draw: Draw, how: str, late: bool) -> None:
        field = self.space["field"]
        func = field if how == "itself" else lambda t, y: field(t, y)
        owned = self._owned()
        if how == "again":
            Solved(flashode, func, owned, draw)
        ours, theirs = Solved(flashode, func, owned, draw), Solved(torchdiffeq, func, owned, draw)
        captured = isinstance(captured_at(func, torch.tensor(0.0), torch.ones(draw.batch, 2)), Capture)
        COUNTS["captured" if captured else "declined"] += 1
        if late:
            self._change(data)
        ours.differentiate()
        theirs.differentiate()
        if late and ours.error is not None and theirs.error is None:
            # What the backward pass reads has changed: an error, and not the gradient of something else.
            assert issubclass(ours.error, RuntimeError)
        elif ours.error is not None or theirs.error is not None:
            failed = ours.error is not None and issubclass(ours.error, SolverError)
            if not (late and draw.adjoint):
                assert ours.error is theirs.error or (failed and theirs.error is not None)
            return
        if late and draw.adjoint:
            # Theirs differentiates what the field has become.
            return
        for a, b in zip(ours.results, theirs.results, strict=False):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3, equal_nan=True)

    def _owned(self) -> list[Tensor]:
        net, weight = self.space.get("net"), self.space.get("weight")
        own = list(net.parameters()) if net is not None else []
        own += [weight] if isinstance(weight, Tensor) else []
        return [tensor for tensor in own if tensor.requires_grad]

    def teardown(self) -> None:
        for source in getattr(self, "sources", []):
            source.undo()


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=not MINUTES,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def test_random_changes() -> None:
    COUNTS.clear()
    run_state_machine_as_test(Changes, settings=_settings(60, 16))  # type: ignore[no-untyped-call]
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end:
        run_state_machine_as_test(Changes, settings=_settings(100, 30))  # type: ignore[no-untyped-call]
    print(dict(COUNTS))
    # It would find nothing where nothing is captured.
    assert COUNTS["captured"] > COUNTS["declined"]
