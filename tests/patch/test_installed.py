"""The patch where torchdiffeq is installed: what it reaches, and that it leaves nothing behind."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import flashode

torchdiffeq = pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed")

NAMES = ("odeint", "odeint_adjoint", "odeint_event", "odeint_dense")
TIMES = torch.linspace(0.0, 1.0, 3)
HOLDING = """
import functools
from torchdiffeq import odeint, odeint_adjoint as solve_adjoint
from torchdiffeq._impl.odeint import SOLVERS


class Solver:
    solve = staticmethod(odeint)

    def __init__(self):
        self.own = odeint


def with_default(solve=odeint):
    return solve


def closure(solve):
    return lambda *args, **kwargs: solve(*args, **kwargs)


table = {"plain": odeint}
solver = Solver()
ready = functools.partial(odeint, method="rk4")
enclosed = closure(odeint)
"""


def decay(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -y


def identities() -> dict[str, int]:
    """Every global of torchdiffeq's modules, and the code of its functions."""
    ids = {}
    for module in [m for name, m in sorted(sys.modules.items()) if name.split(".")[0] == "torchdiffeq"]:
        for name, value in vars(module).items():
            ids[f"{module.__name__}:{name}"] = id(value)
            if inspect.isfunction(value):
                ids[f"{module.__name__}:{name}()"] = id(value.__code__)
    return ids


def is_ours(solve: Any) -> bool:
    """Whether a call is recorded, which only flashode's are."""
    with flashode.record() as report:
        solve(decay, torch.ones(2), TIMES)
    return len(report.solves) == 1


@pytest.fixture
def holding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that took hold of torchdiffeq's names in many ways, imported before the patch."""
    (tmp_path / "holding_names.py").write_text(HOLDING)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("holding_names")
    del sys.modules["holding_names"]


def test_names_are_flashode_s() -> None:
    flashode.patch_torchdiffeq()
    implementation = importlib.import_module("torchdiffeq._impl")
    adjoint = importlib.import_module("torchdiffeq._impl.adjoint")
    module = sys.modules["torchdiffeq._impl.odeint"]
    for name in NAMES:
        assert getattr(torchdiffeq, name) is getattr(flashode, name)
        assert getattr(implementation, name) is getattr(flashode, name)
    for name in ("odeint", "odeint_event", "odeint_dense"):
        assert getattr(module, name) is getattr(flashode, name)
    assert adjoint.odeint_adjoint is flashode.odeint_adjoint
    assert adjoint.odeint is flashode.odeint


def test_unpatching_restores_every_name_and_every_code() -> None:
    before, solvers = identities(), dict(sys.modules["torchdiffeq._impl.odeint"].SOLVERS)
    with flashode.patch_torchdiffeq():
        assert identities() != before
    assert identities() == before
    assert solvers == sys.modules["torchdiffeq._impl.odeint"].SOLVERS


@pytest.mark.parametrize(
    "access",
    [
        lambda module: module.odeint,
        lambda module: module.Solver.solve,
        lambda module: module.solver.own,
        lambda module: module.with_default(),
        lambda module: module.table["plain"],
        lambda module: module.ready,
        lambda module: module.enclosed,
        lambda module: partial(module.solve_adjoint, adjoint_params=()),
    ],
    ids=["global", "class", "instance", "default", "dict", "partial", "closure", "other name"],
)
def test_what_was_imported_before_is_reached_and_released(holding: ModuleType, access: Any) -> None:
    assert not is_ours(access(holding))
    with flashode.patch_torchdiffeq():
        assert is_ours(access(holding))
    assert not is_ours(access(holding))


def test_warnings_point_at_the_caller_of_what_was_imported_before(holding: ModuleType) -> None:
    def branching(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -y if y.sum() > 0 else y

    with flashode.patch_torchdiffeq(), pytest.warns(flashode.FallbackWarning) as warned:
        holding.ready(branching, torch.ones(2), TIMES)
    (warning,) = warned
    assert warning.filename == __file__


def test_globals_of_modules_are_the_functions_themselves(holding: ModuleType) -> None:
    before = holding.odeint
    with flashode.patch_torchdiffeq():
        assert holding.odeint is flashode.odeint
        assert holding.solve_adjoint is flashode.odeint_adjoint
    assert holding.odeint is before


def test_a_module_imported_under_the_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "importing_later.py").write_text("import torchdiffeq\nfrom torchdiffeq import odeint\n")
    monkeypatch.syspath_prepend(tmp_path)
    with flashode.patch_torchdiffeq():
        later = importlib.import_module("importing_later")
        assert later.odeint is flashode.odeint
    del sys.modules["importing_later"]
    assert later.torchdiffeq.odeint is torchdiffeq.odeint is not flashode.odeint


def test_solvers_have_every_method_and_keep_their_classes(holding: ModuleType) -> None:
    classes = dict(holding.SOLVERS)
    with flashode.patch_torchdiffeq():
        from torchdiffeq._impl.odeint import SOLVERS

        assert set(SOLVERS) == set(flashode.METHODS)
        assert {name: SOLVERS[name] for name in classes} == classes
        assert holding.SOLVERS is SOLVERS


def test_a_name_that_somebody_else_exchanged_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    # First so that it is undone last.
    monkeypatch.setattr(torchdiffeq, "odeint_dense", torchdiffeq.odeint_dense)

    def other() -> None: ...

    with flashode.patch_torchdiffeq():
        torchdiffeq.odeint_dense = other
    assert torchdiffeq.odeint_dense is other


def test_a_torchdiffeq_that_holds_flashode_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchdiffeq, "odeint", flashode.odeint)
    with flashode.patch_torchdiffeq():
        assert is_ours(torchdiffeq.odeint)
    assert torchdiffeq.odeint is flashode.odeint


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def test_a_graph_made_before_is_reversed_under_the_patch() -> None:
    y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
    times = TIMES.double()
    states = torchdiffeq.odeint_adjoint(decay, y0, times, adjoint_params=())
    (expected,) = torch.autograd.grad(states.sum(), y0, retain_graph=True)
    with flashode.patch_torchdiffeq():
        (gradient,) = torch.autograd.grad(states.sum(), y0)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=0)


def test_arguments_are_by_keyword_as_theirs() -> None:
    with pytest.raises(TypeError, match="positional"):
        torchdiffeq.odeint(decay, torch.ones(2), TIMES, 1e-3)
    with flashode.patch_torchdiffeq(), pytest.raises(TypeError, match="positional"):
        torchdiffeq.odeint(decay, torch.ones(2), TIMES, 1e-3)
