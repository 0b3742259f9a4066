"""Which room of the C++ sources may know which: the table of ARCHITECTURE.md, by the include lines."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture import circles, disorder, room_of, table

SOURCES = Path(__file__).parents[2] / "csrc"
SUFFIXES = {".cpp", ".hpp", ".cu", ".cuh", ".h"}
ROOMS = table("rooms csrc")

# Rooms that a device compiler takes too. NVRTC has no standard library: they may include what there is a
# stand-in for.
ON_DEVICE = {"numerics", "solve", *(room for room in ROOMS if room.startswith("cuda/"))}
DEVICE_MAY_INCLUDE = {path.name for path in (SOURCES / "cuda" / "std").iterdir()}
PYTHON_HEADERS = re.compile(r"pybind11/|Python\.h$")
TORCH_HEADERS = re.compile(r"torch/|ATen/|c10/")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"(?P<own>[^"]+)"|<(?P<system>[^>]+)>)')


def violations(sources: Path) -> list[str]:
    """Every include that the tables do not allow, one line each."""
    results = []
    for path in files(sources):
        place = path.relative_to(sources)
        room = room_of(place.with_suffix("").as_posix(), ROOMS)
        if room is None:
            results.append(f"{place}: no room of the table has it")
            continue
        results += [f"{place}:{line}: {why}" for line, why in complaints(room, path.read_text())]
    return results


def files(sources: Path) -> list[Path]:
    """The C++ files of a folder and those below it."""
    return sorted(path for path in sources.rglob("*") if path.suffix in SUFFIXES)


def included(text: str) -> list[str]:
    """The files of ours that a text includes."""
    return [match["own"] for match in map(INCLUDE.match, text.splitlines()) if match and match["own"]]


def complaints(room: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and reason of each include that a file of the room may not have."""
    for line, match in enumerate(map(INCLUDE.match, text.splitlines()), start=1):
        if match is None:
            continue
        own, system = match["own"], match["system"]
        if own is not None:
            known = room_of(own.rpartition(".")[0], ROOMS)
            if "/" not in own:
                yield line, f'"{own}" must be written with its room'
            elif known != room and known not in ROOMS[room].known:
                yield line, f"{room} may not know {known or own}"
        elif TORCH_HEADERS.match(system):
            yield line, "nothing includes libtorch: one build serves every version of torch"
        elif PYTHON_HEADERS.match(system) and room != "bindings":
            yield line, "only bindings know Python"
        elif room in ON_DEVICE and system not in DEVICE_MAY_INCLUDE:
            yield line, f"{room} may not include <{system}>"


def test_the_table_has_an_order() -> None:
    assert list(disorder(ROOMS)) == []


def test_sources_keep_their_layers() -> None:
    assert files(SOURCES)
    assert violations(SOURCES) == []


def test_no_files_include_each_other() -> None:
    graph = {path.relative_to(SOURCES).as_posix(): set(included(path.read_text())) for path in files(SOURCES)}
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("numerics/step.hpp", '#include "program/program.hpp"\n'),
        ("numerics/step.hpp", "#include <vector>\n"),
        ("numerics/step.hpp", "  #  include <iostream>\n"),
        ("solve/loops.hpp", "#include <functional>\n"),
        ("solve/loops.hpp", '#include "cpu/engine.hpp"\n'),
        ("program/program.cpp", '#include "cpu/tape/tape.hpp"\n'),
        ("cpu/vectors/simd.hpp", '#include "cpu/tape/tape.hpp"\n'),
        ("cpu/tape/tape.hpp", '#include "bindings/bindings.hpp"\n'),
        ("cpu/tape/tape.hpp", '#include "cuda/launch.hpp"\n'),
        ("cpu/tape/tape.hpp", '#include "dense.hpp"\n'),
        ("cpu/tape/tape.hpp", "#include <pybind11/pybind11.h>\n"),
        ("cuda/solve.cu", "#include <ATen/ATen.h>\n"),
        ("bindings/module.cpp", "#include <torch/extension.h>\n"),
        ("support/strings.hpp", "\n"),
    ],
)
def test_checker_sees_a_violation(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    problems = violations(tmp_path)
    assert len(problems) == 1
    assert problems[0].startswith(file)


def test_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    allowed = {
        "numerics/step.hpp": '#include <cmath>\n#include "numerics/platform.hpp"\n',
        "cpu/tape/tape.hpp": '#include <vector>\n#include "cpu/vectors/simd.hpp"\n',
        "bindings/module.cpp": '#include <pybind11/pybind11.h>\n#include "cpu/engine.hpp"\n',
    }
    for file, text in allowed.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert violations(tmp_path) == []
