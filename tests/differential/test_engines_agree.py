"""The methods that torchdiffeq 0.2.5 does not have: every engine gives what plain torch gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, note

import flashode
from differential.calls import Call, perform
from differential.comparison import require_same
from differential.draws import ADAPTIVE
from differential.fields import KINDS
from differential.profile import drawn
from flashode.methods import TABLEAUX

METHODS = [name for name, tableau in TABLEAUX.items() if tableau.equations != "none"]


@pytest.mark.parametrize("method", METHODS)
def test_same_as_in_plain_torch(method: str) -> None:
    @drawn(method)
    def compare(call: Call) -> None:
        # Rounding may decide about its steps, and nothing here says when.
        assume(call.adjoint.get("adjoint_method") not in ADAPTIVE)
        with flashode.use_engine("eager"):
            expected = perform(flashode, call)
        with flashode.use_engine("auto"):
            actual = perform(flashode, call)
        note(f"auto: {actual.ending}, {actual.error!r}; plain torch: {expected.error!r}")
        # When Newton's method has converged, each engine judges for itself.
        require_same(call, actual, [expected], counts=False)

    compare()


def test_a_call_is_performed() -> None:
    """What is wrong with the calls themselves would end in both solvers alike."""
    call = Call(
        face="odeint",
        method="dopri5",
        kind="batch",
        func=next(iter(KINDS["batch"].fields)),
        dtype=torch.float64,
        times=(0.0, 0.5),
        time_dtype=torch.float64,
        rtol=1e-4,
        atol=1e-4,
        gradients=True,
    )
    outcome = perform(flashode, call)
    assert outcome.ending == "returned", outcome.error
    assert outcome.gradients[0] is not None
