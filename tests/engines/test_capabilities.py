"""The table of capabilities is true: each engine declines what its column names, and takes all else."""

from __future__ import annotations

import pytest
import torch

from capabilities import LACKS, excuse
from features import FEATURES, asked, call_of
from flashode.declined import Declined
from flashode.engines import REGISTRY, EngineDeclined, use_engine


def test_a_column_for_each_engine() -> None:
    assert set(LACKS) == set(REGISTRY)
    for column in LACKS.values():
        assert column.keys() <= FEATURES.keys()


@pytest.mark.parametrize("feature", FEATURES)
def test_cell(engine: str, feature: str) -> None:
    check_cell(engine, feature)


def check_cell(engine: str, feature: str) -> None:
    """It declines with the reason that the table has, of a call that shows the feature; or it solves."""
    row = FEATURES[feature]
    if feature not in LACKS[engine]:
        with use_engine("eager"):
            expected = row.solve()
        solution = row.solve()
        for ours, theirs in zip(solution, expected, strict=True):
            precise = ours.dtype in (torch.float64, torch.complex128)
            torch.testing.assert_close(
                ours, theirs, rtol=1e-5 if precise else 2e-3, atol=1e-6 if precise else 2e-3
            )
        return
    with pytest.raises(EngineDeclined) as caught:
        row.solve()
    hidden = [feature] if row.asks is None else []
    assert excuse(engine, caught.value, call_of(caught.value), hidden) is not None


@pytest.mark.parametrize("feature", [name for name, row in FEATURES.items() if row.asks is not None])
def test_arguments_show_it(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by an engine that takes nothing."""
    monkeypatch.setitem(REGISTRY, "native", lambda: Declined("it takes nothing"))
    with pytest.raises(EngineDeclined) as caught, use_engine("native"):
        FEATURES[feature].solve()
    assert feature in asked(call_of(caught.value))
