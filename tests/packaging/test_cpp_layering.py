"""Which room of the C++ sources may know which, as DESIGN has it, read off the include lines."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "csrc"

# bindings → cpu, cuda → numerics, program; numerics → nothing. A program names functions as numerics does.
MAY_KNOW: dict[str, set[str]] = {
    "numerics": set(),
    "program": {"numerics"},
    "measure": {"cpu", "numerics"},
    "cpu": {"measure", "numerics", "program"},
    "cuda": {"numerics", "program"},
    "bindings": {"cpu", "cuda", "measure", "numerics", "program"},
}

# What a device compiler takes too: nothing here allocates or writes.
NUMERICS_MAY_INCLUDE = {
    "algorithm",
    "array",
    "bit",
    "cmath",
    "concepts",
    "cstddef",
    "cstdint",
    "limits",
    "numbers",
    "optional",
    "string_view",
    "type_traits",
    "utility",
}
PYTHON_HEADERS = re.compile(r"pybind11/|Python\.h$")
TORCH_HEADERS = re.compile(r"torch/|ATen/|c10/")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"(?P<own>[^"]+)"|<(?P<system>[^>]+)>)')


def violations(sources: Path) -> list[str]:
    """Every include that the tables above do not allow, one line each."""
    found = []
    for path in sorted(sources.rglob("*")):
        if path.suffix not in {".cpp", ".hpp", ".cu", ".cuh", ".h"}:
            continue
        place = path.relative_to(sources)
        room = place.parts[0]
        if room not in MAY_KNOW:
            found.append(f"{place}: the room {room} has no row in the table")
            continue
        found += [f"{place}:{line}: {why}" for line, why in complaints(room, path.read_text())]
    return found


def complaints(room: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and reason of each include that a file of the room may not have."""
    for line, match in enumerate(map(INCLUDE.match, text.splitlines()), start=1):
        if match is None:
            continue
        own, system = match["own"], match["system"]
        if own is not None:
            known, _, file = own.partition("/")
            if not file:
                yield line, f'"{own}" must be written with its room'
            elif known != room and known not in MAY_KNOW[room]:
                yield line, f"{room} may not know {known}"
        elif TORCH_HEADERS.match(system):
            yield line, "nothing includes libtorch: one build serves every version of torch"
        elif PYTHON_HEADERS.match(system) and room != "bindings":
            yield line, "only bindings know Python"
        elif room == "numerics" and system not in NUMERICS_MAY_INCLUDE:
            yield line, f"numerics may not include <{system}>"


def test_sources_keep_their_layers() -> None:
    assert list(SOURCES.rglob("*.hpp"))
    assert violations(SOURCES) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("numerics/step.hpp", '#include "program/program.hpp"\n'),
        ("numerics/step.hpp", "#include <vector>\n"),
        ("numerics/step.hpp", "  #  include <iostream>\n"),
        ("program/program.cpp", '#include "cpu/tape.hpp"\n'),
        ("cpu/tape.hpp", '#include "bindings/bindings.hpp"\n'),
        ("cpu/tape.hpp", '#include "cuda/launch.hpp"\n'),
        ("cpu/tape.hpp", '#include "simd.hpp"\n'),
        ("cpu/tape.hpp", "#include <pybind11/pybind11.h>\n"),
        ("cuda/solve.cu", "#include <ATen/ATen.h>\n"),
        ("bindings/module.cpp", "#include <torch/extension.h>\n"),
        ("support/strings.hpp", "\n"),
    ],
)
def test_checker_sees_a_violation(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(file)


def test_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    allowed = {
        "numerics/step.hpp": '#include <cmath>\n#include "numerics/platform.hpp"\n',
        "cpu/tape.hpp": '#include <vector>\n#include "cpu/simd.hpp"\n#include "program/program.hpp"\n',
        "bindings/module.cpp": '#include <pybind11/pybind11.h>\n#include "cpu/engine.hpp"\n',
    }
    for file, text in allowed.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert violations(tmp_path) == []
