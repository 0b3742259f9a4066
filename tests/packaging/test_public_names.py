"""The names that flashode promises, and its one version."""

import inspect
import tomllib
import types
from importlib import metadata, resources
from pathlib import Path

import flashode

PROMISED = {
    "AdjointWarning",
    "ConvergenceWarning",
    "DenseOutput",
    "Explanation",
    "FallbackWarning",
    "MaxStepsExceeded",
    "NonFiniteError",
    "SolverError",
    "StepSizeUnderflow",
    "build_info",
    "explain",
    "odeint",
    "odeint_adjoint",
    "patch_torchdiffeq",
    "precompile",
    "record",
    "unpatch_torchdiffeq",
    "use_engine",
}


def test_every_public_name_is_there_once() -> None:
    assert len(set(flashode.__all__)) == len(flashode.__all__)
    assert all(hasattr(flashode, name) for name in flashode.__all__)
    assert set(flashode.__all__) >= PROMISED


def test_nothing_public_is_left_out_of_all() -> None:
    visible = {
        name
        for name, value in vars(flashode).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert visible <= set(flashode.__all__)


def test_every_public_thing_says_what_it_is() -> None:
    undocumented = [
        name
        for name in flashode.__all__
        if name != "__version__" and not inspect.getdoc(getattr(flashode, name))
    ]
    assert undocumented == []


def test_version_is_the_one_of_the_project_file() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert flashode.__version__ == metadata.version("flashode") == project["version"]
    assert flashode.build_info()["version"] == project["version"]


def test_package_declares_its_types() -> None:
    assert resources.files("flashode").joinpath("py.typed").is_file()
