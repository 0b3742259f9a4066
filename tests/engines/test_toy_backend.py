"""A new engine is one file, one row of the registry and one column of the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import features
import toy_backend
from capabilities import LACKS
from engines.test_capabilities import check_cell
from features import FEATURES
from flashode.engines import REGISTRY, use_engine
from flashode.methods import METHODS

_EQUATIONS = [name for name, method in METHODS.items() if method.equations != "none"]
_FOREIGN = ("explicit_adams", "implicit_adams", "fixed_adams", "scipy_solver")
_ADJOINT = "the toy has no adjoint equations"
COLUMN = {
    **dict.fromkeys((*_EQUATIONS, "max_iters", "many coupled equations"), "the toy solves no equations"),
    **dict.fromkeys(("event", "event that reads numbers", "dense output"), "the toy finds no times"),
    **dict.fromkeys(("interp", "perturb"), "the toy neither perturbs nor draws curves"),
    **dict.fromkeys(("continuous gradient", "seminorm"), _ADJOINT),
    # What no compiled engine takes yet.
    **{
        feature: reason
        for feature, reason in LACKS["native"].items()
        if feature in _FOREIGN or not METHODS.keys() & {feature}
        if feature != "many coupled equations"
    },
}


@pytest.fixture
def _toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(REGISTRY, "toy", toy_backend.engine)
    monkeypatch.setitem(LACKS, "toy", COLUMN)
    # It chooses other steps than the oracle: they are to agree by what both are close to.
    monkeypatch.setattr(features, "_TOLERANCES", {"rtol": 1e-8, "atol": 1e-9})
    monkeypatch.setattr(features, "_ELEMENTS", 1e-2 * features._ELEMENTS)
    with use_engine("toy"):
        yield


@pytest.mark.usefixtures("_toy")
@pytest.mark.parametrize("feature", FEATURES)
def test_what_its_column_claims(feature: str) -> None:
    check_cell("toy", feature)
