"""Any call gives what it gives with torchdiffeq: values, evaluations, gradients, callbacks, or an error.

The calls are drawn from the cross product of methods, options, kinds of state, precisions, directions and
numbers of times, functions, tolerances, gradient modes, events and callbacks; the same ones in every run.
FLASHODE_DIFFERENTIAL_EXAMPLES draws more for each method, FLASHODE_DIFFERENTIAL_SEED others.
"""

from __future__ import annotations

import pytest
from hypothesis import assume, note

import flashode
from differential.calls import Call, perform
from differential.comparison import reference, require_same
from differential.draws import METHODS
from differential.exclusions import excluded
from differential.profile import drawn


@pytest.mark.parametrize("method", METHODS)
def test_same_as_torchdiffeq(method: str) -> None:
    @drawn(method)
    def compare(call: Call) -> None:
        assume(excluded(call) is None)
        references = reference(call)
        assume(references)
        for engine in ("auto", "eager"):
            with flashode.use_engine(engine):
                actual = perform(flashode, call)
            note(f"{engine}: {actual.ending}, {actual.error!r}; theirs: {references[0].error!r}")
            require_same(call, actual, references)

    compare()
