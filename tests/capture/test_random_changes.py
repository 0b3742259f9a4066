"""Random changes of random fields between random solves: none differs from torchdiffeq's.

A few are tried every day, the same ones each time. FLASHODE_CHANGES_MINUTES tries others, for so long.
"""

import os
import time
import warnings
from typing import Any

import hypothesis
import torch
import torchdiffeq
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import flashode
from capture.changing_sources import SOURCES, Base, OtherBase
from flashode.errors import FallbackWarning

MINUTES = float(os.environ.get("FLASHODE_CHANGES_MINUTES", "0"))
NUMBERS = (0.5, -0.5, 1.0, 0.25, 0.0, -0.0, 0.75)
D = torch.float64


def solved(library: Any, func: Any, batch: int, method: str, graded: bool) -> Any:
    """A solution, and the gradients of its end; or what it raised."""
    y0 = torch.linspace(-1, 1, 2 * batch).reshape(batch, 2).requires_grad_(graded)
    t = torch.linspace(0, 1, 3)
    options = {"step_size": 0.25} if method == "rk4" else {"first_step": 0.25}
    try:
        with torch.set_grad_enabled(graded), warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)
            torch.manual_seed(0)
            solution = library.odeint(func, y0, t, method=method, options=options)
    except Exception as error:
        return type(error)
    if not graded or not solution.requires_grad:
        return [solution.detach()]
    (gradient,) = torch.autograd.grad(solution[-1].sum(), [y0], materialize_grads=True)
    return [solution.detach(), gradient]


class Changes(RuleBasedStateMachine):
    """A field of several sources, which change between solves."""

    @initialize(names=st.lists(st.sampled_from(sorted(SOURCES)), min_size=1, max_size=4, unique=True))
    def made(self, names: list[str]) -> None:
        self.sources = [SOURCES[name] for name in names]
        self.space: dict[str, Any] = {"torch": torch, "base": Base, "other": OtherBase, "__name__": "users"}
        torch.manual_seed(0)
        for source in self.sources:
            source.make(self.space)
        terms = "".join(f" + 0.3 * {source.read}" for source in self.sources)
        exec(f"def field(t, y): return 0.1 * y{terms} * (t - y)", self.space)

    @rule(data=st.data(), value=st.sampled_from(NUMBERS))
    def change(self, data: st.DataObject, value: float) -> None:
        source = data.draw(st.sampled_from(self.sources))
        change = data.draw(st.sampled_from(range(len(source.changes))))
        try:
            source.changes[change](self.space, value)
        except Exception as error:
            # Earlier changes have made it impossible.
            hypothesis.event(f"impossible: {type(error).__name__}")

    @rule(
        batch=st.sampled_from([1, 3, 5]),
        method=st.sampled_from(["rk4", "dopri5", "euler"]),
        graded=st.booleans(),
        how=st.sampled_from(["itself", "lambda", "again"]),
    )
    def solve(self, batch: int, method: str, graded: bool, how: str) -> None:
        field = self.space["field"]
        func = field if how == "itself" else lambda t, y: field(t, y)
        for _ in range(2 if how == "again" else 1):
            ours = solved(flashode, func, batch, method, graded)
        theirs = solved(torchdiffeq, func, batch, method, graded)
        if isinstance(theirs, type) or isinstance(ours, type):
            assert isinstance(theirs, type) and isinstance(ours, type), (ours, theirs)
            return
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3, equal_nan=True)

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
    run_state_machine_as_test(Changes, settings=_settings(25, 12))  # type: ignore[no-untyped-call]
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end:
        run_state_machine_as_test(Changes, settings=_settings(100, 30))  # type: ignore[no-untyped-call]
