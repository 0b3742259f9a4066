"""Fitted exponents and shares of the peak, against laws and sums known beforehand."""

from __future__ import annotations

import pytest

from flashode.bench.records.record import Record
from flashode.bench.report.roofline import arithmetic_share
from flashode.bench.report.scaling import fit


def test_a_power_law_is_found_exactly() -> None:
    curve = fit({n: 3.0 * n**1.5 for n in (1.0, 10.0, 100.0, 1000.0)})
    assert curve is not None
    assert curve.exponent == pytest.approx(1.5)
    assert curve.factor == pytest.approx(3.0)
    assert (curve.first, curve.last, curve.count) == (1.0, 1000.0, 4)


def test_a_fixed_cost_at_the_small_end_is_left_out() -> None:
    curve = fit({n: 100.0 + n for n in (1.0, 10.0, 1e4, 1e5, 1e6)})
    assert curve is not None
    assert curve.exponent == pytest.approx(1.0, abs=0.01)
    assert (curve.first, curve.count) == (1e4, 3)


def test_no_law_is_made_up() -> None:
    assert fit({1.0: 1.0, 10.0: 10.0}) is None
    assert fit({1.0: 1.0, 10.0: 100.0, 100.0: 1.0}) is None
    assert fit({0.0: 1.0, 1.0: 0.0, 10.0: 1.0, 100.0: 10.0}) is None


@pytest.mark.parametrize(("mode", "share"), [("forward", 0.1), ("discrete", 0.4), ("continuous", None)])
def test_the_share_of_the_peak(mode: str, share: float | None) -> None:
    record = Record("workloads", "wide", {}, "flashode", mode, "ours", seconds=[2.0, 1.0, 9.0])
    assert arithmetic_share(record, 1e6) is None
    record.evaluations, record.flops = 20, 10_000
    assert arithmetic_share(record, 1e6) == pytest.approx(share)
