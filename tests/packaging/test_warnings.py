"""Where a warning of the compiler ends a build: in continuous integration, and for no user."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_user_s_compiler_may_warn() -> None:
    options = (ROOT / "CMakeLists.txt").read_text().partition("if(FLASHODE_CUDA_CHECK)")[0]
    assert "-Wall" in options
    assert "-Werror" not in options
    assert (
        "WARNING_AS_ERROR" not in options + (ROOT / "pyproject.toml").read_text() + (ROOT / "dev").read_text()
    )


def test_in_continuous_integration_it_may_not() -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
    (sanitize,) = (preset for preset in presets if preset["name"] == "sanitize")
    assert sanitize["cacheVariables"]["CMAKE_COMPILE_WARNING_AS_ERROR"] == "ON"
    script = (ROOT / ".ci" / "run").read_text()
    (defined,) = re.findall(r"^export SKBUILD_CMAKE_DEFINE=(.*)$", script, re.MULTILINE)
    assert "CMAKE_COMPILE_WARNING_AS_ERROR=ON" in defined.strip('"').split(";")
