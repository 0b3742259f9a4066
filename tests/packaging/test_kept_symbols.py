"""The check of which copy of a shared function the linker keeps sees what it is there for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "cpp" / "kept_symbols.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kept_symbols", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_levels(script: ModuleType) -> None:
    folders = ["_flashode", "flashode_engine", "flashode_kernels_v2", "flashode_kernels_v4_features"]
    levels = [script.level(f"build/CMakeFiles/{folder}.dir/csrc/a.cpp.o") for folder in folders]
    assert levels == [0, 0, 2, 4]


@pytest.mark.parametrize(
    ("objects", "wrong"),
    [
        ([(0, ["a"]), (2, ["a", "b"]), (3, ["b", "c"]), (4, ["c"])], []),
        ([(3, ["a"]), (2, ["a", "b"]), (4, ["b"])], ["a"]),
        ([(2, ["a"]), (3, ["b"]), (2, ["b"]), (0, ["a"])], ["b", "a"]),
    ],
)
def test_a_higher_copy_before_a_plainer_one(
    script: ModuleType, objects: list[tuple[int, list[str]]], wrong: list[str]
) -> None:
    assert list(script.misplaced(objects)) == wrong
