"""What torchdiffeq makes of a call, and whether flashode makes the same of it."""

from __future__ import annotations

import pytest
import torch
import torchdiffeq
from torch import Tensor
from torchdiffeq._impl.fixed_adams import _BASHFORTH_DIVISOR

from differential.calls import Call, Outcome, perform
from differential.draws import ADAMS, ADAPTIVE
from differential.shaking import shaken

# What rounding may change, in parts of the largest number: in values, and in gradients.
ROUNDING = {torch.float64: (1e-9, 1e-9), torch.float32: (3e-5, 3e-4)}
# How far the steps of shaken solves may differ, where rounding decides nothing of importance.
STEPS = 0.02
# Steps that differ by rounding make solutions that differ. What torchdiffeq's own shaken solves differ by is
# allowed this many times over.
SPREAD = 20


def reference(call: Call) -> list[Outcome]:
    """What torchdiffeq makes of a call, and of its shaken forms; nothing if these do not hang together."""
    methods = (call.method, call.adjoint.get("adjoint_method", call.method))
    controlled = any(method in (*ADAPTIVE, *ADAMS) for method in methods)
    outcomes: list[Outcome] = []
    steps: list[list[float]] = []
    for sign in (0.0, 1.0, -1.0) if controlled else (0.0,):
        with shaken(sign) as sizes:
            outcomes.append(perform(torchdiffeq, call))
        steps.append(sizes)
    counts = {(o.ending, o.forward, o.total) for o in outcomes}
    if len(counts) > 1 or any(sizes != pytest.approx(steps[0], rel=STEPS) for sizes in steps):
        return []
    return outcomes


def require_same(call: Call, actual: Outcome, references: list[Outcome], *, counts: bool = True) -> None:
    """Require that the outcome is that of the first reference, with the same counts of evaluations or not."""
    expected = references[0]
    if expected.ending != actual.ending:
        raise AssertionError(f"theirs {expected.ending}, ours {actual.ending}") from actual.error
    if expected.error is not None:
        return
    assert actual.is_tuple == expected.is_tuple, "kind of solution"
    assert bool(actual.warnings) == bool(expected.warnings), (
        f"ours {actual.warnings}, theirs {expected.warnings}"
    )
    if counts:
        _same_counts(call, actual, expected)
    everything = (actual, *references)
    single = torch.float32 in (call.dtype, call.time_dtype)
    values, gradients = (_amplified(call) * x for x in ROUNDING[torch.float32 if single else torch.float64])
    _same("solution", [o.parts for o in everything], values)
    _same("gradient", [o.gradients for o in everything], gradients)
    assert [n[0] for n in actual.notes] == [n[0] for n in expected.notes], "callbacks"
    _same("callback", [[x for n in o.notes for x in (n[1], *n[2], n[3])] for o in everything], values)


def _same_counts(call: Call, actual: Outcome, expected: Outcome) -> None:
    assert actual.forward == expected.forward, "evaluations of the solve"
    # What gradients of gradients evaluate is their own affair.
    assert call.second or actual.total == expected.total, "evaluations of all"


def _amplified(call: Call) -> float:
    """Weights of both signs: how much larger than the slopes the numbers are that a step sums."""
    if call.method not in ADAMS:
        return 1.0
    order = int((call.options or {}).get("max_order", 12)) - 1
    return float(_BASHFORTH_DIVISOR[order].abs().sum())


def _same(what: str, lists: list[list[Tensor | None]], rounding: float) -> None:
    actual, expected, *others = lists
    assert len(actual) == len(expected), what
    for i, (x, y) in enumerate(zip(actual, expected, strict=True)):
        assert (x is None) == (y is None), f"{what} {i}: ours {x}, theirs {y}"
        if x is None or y is None:
            continue
        assert (x.dtype, x.shape) == (y.dtype, y.shape), f"{what} {i}: ours {x}, theirs {y}"
        size = max(1.0, _largest(y))
        spread = max((_largest(other[i] - y) for other in others), default=0.0)
        difference = _largest(x - y)
        assert difference <= rounding * size + SPREAD * spread, f"{what} {i}: ours {x}, theirs {y}"


def _largest(x: Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0
