"""Which room of capture may know which, and that no file of it imports its own importer."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CAPTURE = Path(__file__).parents[2] / "python" / "flashode" / "capture"
NAME = "flashode.capture"
# Files beside the rooms that every room may know, and that know none.
WORDS = {"refusal", "places"}
# From what a function hangs on, over calling it, to a Program; what is in no room knows all of them.
MAY_KNOW: dict[str, set[str]] = {
    "guards": set(),
    "tracing": {"guards"},
    "calling": {"guards"},
    "lowering": {"tracing"},
}


def modules(capture: Path) -> dict[str, Path]:
    """Every file, by its name as one imports it: ``guards.walk``, or ``guards`` for a room itself."""
    found = {}
    for path in capture.rglob("*.py"):
        parts = path.relative_to(capture).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def known(path: Path, names: dict[str, Path]) -> set[str]:
    """The files of capture that one imports, wherever in it the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{NAME}."):
            inside = (node.module or "")[len(NAME) + 1 :]
            for alias in node.names:
                file = f"{inside}.{alias.name}".lstrip(".")
                found.add(file if file in names else inside)
    return found


def violations(capture: Path) -> list[str]:
    """What the table does not allow."""
    names = modules(capture)
    found = []
    for name, path in names.items():
        room = name.partition(".")[0]
        if path.parent == capture and name not in WORDS:
            continue
        allowed = WORDS if name in WORDS else {room} | MAY_KNOW[room] | WORDS
        found += [f"{name}: {file}" for file in known(path, names) if file.partition(".")[0] not in allowed]
    return found


def order(capture: Path) -> list[str]:
    """The files, each after all that it imports; raises if there is no such order."""
    names = modules(capture)
    return list(TopologicalSorter({name: known(path, names) for name, path in names.items()}).static_order())


def test_rooms_keep_their_order() -> None:
    assert {path.parent.name for path in CAPTURE.rglob("*/*.py")} >= MAY_KNOW.keys()
    assert violations(CAPTURE) == []


def test_no_file_imports_its_importer() -> None:
    assert len(order(CAPTURE)) == len(modules(CAPTURE))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("guards/one.py", "from flashode.capture.tracing import trace\n"),
        ("guards/one.py", "def late():\n    from flashode.capture.making import make\n"),
        ("tracing/one.py", "from flashode.capture.lowering.lower import lower\n"),
        ("lowering/rules/one.py", "from flashode.capture.guards.walk import Walk\n"),
        ("refusal.py", "from flashode.capture.guards.walk import Walk\n"),
    ],
)
def test_what_is_not_allowed_is_found(file: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert len(violations(tmp_path)) == 1


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from flashode.capture.two import b\n")
    (tmp_path / "two.py").write_text("def late():\n    from flashode.capture import one\n")
    with pytest.raises(ValueError, match="cycle"):
        order(tmp_path)
