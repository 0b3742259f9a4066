"""The patch where torchdiffeq is not installed: modules that stand in for it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import flashode

pytestmark = pytest.mark.usefixtures("absent")

MODULES = ("torchdiffeq", "torchdiffeq._impl", "torchdiffeq._impl.odeint", "torchdiffeq._impl.adjoint")


def test_without_the_patch_there_is_nothing() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("torchdiffeq")


def test_names_are_flashode_s() -> None:
    flashode.patch_torchdiffeq()
    import torchdiffeq
    from torchdiffeq import odeint, odeint_adjoint, odeint_dense, odeint_event
    from torchdiffeq._impl import odeint as inner
    from torchdiffeq._impl.adjoint import odeint_adjoint as inner_adjoint

    assert (odeint, odeint_adjoint) == (flashode.odeint, flashode.odeint_adjoint)
    assert (odeint_event, odeint_dense) == (flashode.odeint_event, flashode.odeint_dense)
    assert inner is odeint
    assert inner_adjoint is odeint_adjoint
    assert torchdiffeq._impl.odeint is odeint
    assert torchdiffeq.__version__ == "0.2.5"


@pytest.mark.parametrize("first", MODULES)
def test_the_function_shadows_the_module_in_whatever_order_they_are_imported(first: str) -> None:
    flashode.patch_torchdiffeq()
    importlib.import_module(first)
    for name in MODULES:
        importlib.import_module(name)
    implementation = sys.modules["torchdiffeq._impl"]
    assert implementation.odeint is flashode.odeint
    assert sys.modules["torchdiffeq._impl.odeint"].odeint is flashode.odeint


def test_what_third_parties_reach_for() -> None:
    flashode.patch_torchdiffeq()
    from torchdiffeq._impl.adjoint import find_parameters
    from torchdiffeq._impl.odeint import SOLVERS

    assert set(SOLVERS) == set(flashode.METHODS)
    assert "dopri5" in list(SOLVERS.keys())
    layer = nn.Linear(2, 2)
    assert list(map(id, find_parameters(layer))) == list(map(id, layer.parameters()))


@pytest.mark.parametrize("name", MODULES)
def test_the_import_machinery_knows_them(name: str) -> None:
    flashode.patch_torchdiffeq()
    before = importlib.util.find_spec(name)
    module = importlib.import_module(name)
    assert before is not None
    assert module.__spec__ is not None
    assert importlib.util.find_spec(name) is module.__spec__
    assert importlib.reload(module) is module


# Imports found in published programs, of what torchdiffeq's solvers are made of.
MISSING = (
    "from torchdiffeq._impl.fixed_grid import RK4, Euler",
    "from torchdiffeq._impl.solvers import FixedGridODESolver, AdaptiveStepsizeODESolver",
    "from torchdiffeq._impl.misc import _check_inputs, _flat_to_shape",
    "from torchdiffeq._impl.misc import Perturb",
    "import torchdiffeq._impl.misc as misc",
    "from torchdiffeq._impl import misc",
    "from torchdiffeq._impl.rk_common import _ButcherTableau, rk4_alt_step_func",
    "from torchdiffeq._impl.dopri5 import Dopri5Solver",
    "from torchdiffeq._impl.interp import _interp_evaluate",
    "from torchdiffeq._impl.adjoint import OdeintAdjointMethod",
    "from torchdiffeq._impl.adjoint import find_parameters, handle_adjoint_norm_",
    "from torchdiffeq._impl.odeint import Dopri5Solver",
    "from torchdiffeq._impl import ImplicitFnGradientRerouting",
    "from torchdiffeq import odeint, something_else",
)
SAYS = r"^flashode stands in for torchdiffeq, which is not installed, .* torchdiffeq\.\S+; .* pip install"


@pytest.mark.parametrize("statement", MISSING)
def test_what_nothing_stands_in_for_is_said_to_be_missing(statement: str) -> None:
    flashode.patch_torchdiffeq()
    with pytest.raises(ImportError, match=SAYS):
        exec(statement, {})


def test_every_name_of_an_installed_one_is_there_or_said_to_be_missing() -> None:
    """Read off the source of an installed torchdiffeq, of any version."""
    sources = [Path(path, "torchdiffeq") for path in sys.path if Path(path, "torchdiffeq", "_impl").is_dir()]
    if not sources:
        pytest.skip("torchdiffeq is not installed")
    flashode.patch_torchdiffeq()
    for path in sorted(sources[0].rglob("*.py")):
        module = ".".join(path.relative_to(sources[0].parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            statement = f"from {module} import {node.name}"
            names: dict[str, object] = {}
            try:
                exec(statement, names)
            except ImportError as error:
                names[node.name] = error
            value = names[node.name]
            assert not isinstance(value, ImportError) or re.match(SAYS, str(value)), statement


def test_a_name_that_is_missing_can_be_asked_for() -> None:
    flashode.patch_torchdiffeq()
    for name in MODULES:
        module = importlib.import_module(name)
        assert not hasattr(module, "OdeintAdjointMethod")
        assert getattr(module, "something_else", None) is None
    assert importlib.util.find_spec("torchdiffeq_more") is None


def test_a_solver_of_the_program_s_own_needs_torchdiffeq() -> None:
    flashode.patch_torchdiffeq()
    from torchdiffeq._impl import adjoint
    from torchdiffeq._impl.odeint import SOLVERS

    assert adjoint.SOLVERS is SOLVERS
    with pytest.raises(
        NotImplementedError, match=r"does not have solvers of its own, such as 'mine'; .* pip"
    ):
        SOLVERS["mine"] = object
    assert "mine" not in SOLVERS


def test_unpatching_forgets_them_and_holders_keep_them() -> None:
    finders = list(sys.meta_path)
    with flashode.patch_torchdiffeq():
        held = importlib.import_module("torchdiffeq")
    assert sys.meta_path == finders
    assert not set(MODULES) & set(sys.modules)
    assert importlib.util.find_spec("torchdiffeq") is None
    solution = held.odeint(lambda t, y: -y, torch.ones(2), torch.linspace(0.0, 1.0, 2))
    torch.testing.assert_close(solution[1], torch.full((2,), -1.0).exp())


def test_functions_are_pickled_by_name() -> None:
    with flashode.patch_torchdiffeq():
        pickled = pickle.dumps(importlib.import_module("torchdiffeq").odeint_adjoint)
    assert pickle.loads(pickled) is flashode.odeint_adjoint


def test_a_folder_of_that_name_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchdiffeq").mkdir()
    monkeypatch.undo()  # the real finder sees the folder, so it must see no installed torchdiffeq
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.split(".")[0] == "torchdiffeq"]:
        monkeypatch.delitem(sys.modules, name)
    with flashode.patch_torchdiffeq():
        assert importlib.import_module("torchdiffeq").odeint is flashode.odeint


HIDDEN = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: None if name.startswith("torchdiffeq") else find(name, *args)
from flashode.cli import main
main()
"""


def test_a_program_runs_without_it(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import torch, torchdiffeq\n"
        "y = torchdiffeq.odeint(lambda t, y: -y, torch.ones(1), torch.tensor([0.0, 1.0]))\n"
        "print(torchdiffeq.__spec__.origin, round(y[1].item(), 4))\n"
    )
    package = str(Path(flashode.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, "run", str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert done.stdout == "flashode 0.3679\n", done.stderr
    assert done.returncode == 0
