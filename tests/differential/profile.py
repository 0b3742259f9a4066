"""How many calls are drawn, and which: FLASHODE_DIFFERENTIAL_EXAMPLES and _SEED go further than every day."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from differential.calls import Call
from differential.draws import calls

EXAMPLES = int(os.environ.get("FLASHODE_DIFFERENTIAL_EXAMPLES", "12"))
SEED = os.environ.get("FLASHODE_DIFFERENTIAL_SEED", "0")


def drawn(method: str) -> Callable[[Callable[[Call], None]], Callable[[], None]]:
    """Has a comparison made of calls with that method, the same ones each time."""

    def decorated(compare: Callable[[Call], None]) -> Callable[[], None]:
        profile: Callable[[], None] = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )(given(calls(method))(compare))
        return hypothesis.seed(zlib.crc32(f"{method} {SEED}".encode()))(profile)

    return decorated
