"""Any call gives what it gives with torchdiffeq: values, evaluations, gradients, callbacks, or an error.

The calls are drawn from the cross product of methods, options, kinds of state, precisions, directions and
numbers of times, functions, tolerances, gradient modes, events and callbacks; the same ones in every run.
FLASHODE_DIFFERENTIAL_EXAMPLES draws more for each method, FLASHODE_DIFFERENTIAL_SEED others.
"""

from __future__ import annotations

import os
import zlib

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings

import flashode
from differential.calls import Call, perform
from differential.comparison import reference, require_same
from differential.draws import METHODS, calls
from differential.exclusions import excluded

EXAMPLES = int(os.environ.get("FLASHODE_DIFFERENTIAL_EXAMPLES", "12"))
SEED = os.environ.get("FLASHODE_DIFFERENTIAL_SEED", "0")


@pytest.mark.parametrize("method", METHODS)
def test_same_as_torchdiffeq(method: str) -> None:
    @hypothesis.seed(zlib.crc32(f"{method} {SEED}".encode()))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(calls(method))
    def compare(call: Call) -> None:
        assume(excluded(call) is None)
        references = reference(call)
        assume(references)
        for engine in ("auto", "eager"):
            with flashode.use_engine(engine):
                found = perform(flashode, call)
            note(f"{engine}: {found.ending}, {found.error!r}; theirs: {references[0].error!r}")
            require_same(call, found, references)

    compare()
