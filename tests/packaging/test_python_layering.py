"""Which room of the Python package may know which: the table of ARCHITECTURE.md, by the import statements."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from architecture import Table, circles, disorder, parse, room_of, table

PACKAGE = Path(__file__).parents[2] / "python" / "flashode"
COMPILED = "_flashode"
PUBLIC = "__init__"  # what a room knows that writes `import flashode` or `from flashode import odeint`
ROOMS = table("rooms python")

MAY_KNOW_COMPILED = {"engines/cuda", "engines/native"}
THIRD_PARTIES = {"torch", "numpy"}
# By folder, or by file.
EXTRA_PACKAGES = {
    "bench": {"diffrax", "jax", "jinja2", "matplotlib", "rich", "scipy"}
    | {"torchdiffeq", "torchdyn", "torchode", "typer"},
    "cli": {"rich", "typer"},
    "compat": {"torchdiffeq"},
    "engines/eager/scipy_solver": {"scipy"},
    "engines/numba": {"llvmlite", "numba"},
    "experiments": {"jinja2", "matplotlib", "rich", "scipy", "typer"},
    "experiments/commands/spiral": {"torchdiffeq"},
}


class Import(NamedTuple):
    """An import statement, or a call that imports.

    Attributes:
        line: Where it stands.
        place: The file it imports, without suffix and relative to the package; another package is `name.`.
    """

    line: int
    place: str


def violations(package: Path, rooms: Table = ROOMS) -> list[str]:
    """Every import in the package that the tables do not allow, one line each."""
    results = []
    for path in sorted(package.rglob("*.py")):
        place = place_of(path, package)
        room = room_of(place, rooms)
        if room is None:
            results.append(f"{place}.py: no room of the table has it")
            continue
        for line, known in imports(path, package):
            if not allowed(place, room, known, rooms):
                results.append(f"{place}.py:{line}: {room} may not know {known}")
    return results


def allowed(place: str, room: str, known: str, rooms: Table) -> bool:
    """Whether a file of a room may import another file, or another package."""
    if known.endswith("."):
        extra = (names for part, names in EXTRA_PACKAGES.items() if f"{place}/".startswith(f"{part}/"))
        return known[:-1] in sys.stdlib_module_names | THIRD_PARTIES.union(*extra)
    if known == COMPILED:
        return room in MAY_KNOW_COMPILED
    other = room_of(known, rooms)
    return other == room or other in rooms[room].known | rooms[room].lazily


def graph(package: Path) -> dict[str, set[str]]:
    """The files that each file imports, for types and within functions too."""
    return {
        place_of(path, package): {
            known for _, known in imports(path, package) if not known.endswith(".") and known != COMPILED
        }
        for path in package.rglob("*.py")
    }


def imports(path: Path, package: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands."""
    tree = ast.parse(path.read_text())
    texts = module_texts(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known = [imported(alias.name, package) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path, package)
            known = [imported(f"{module}.{alias.name}", package) for alias in node.names]
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            target = node.args[0]
            if within_itself(target):
                continue
            name = texts.get(target.id) if isinstance(target, ast.Name) else text_of(target)
            # A name that is put together when it runs cannot be checked, and so is not allowed.
            known = ["a computed module name." if name is None else imported(name, package)]
        else:
            continue
        yield from (Import(node.lineno, place) for place in known)


def absolute(node: ast.ImportFrom, path: Path, package: Path) -> str:
    """The dotted name of the module that an import statement names, relative or not."""
    if not node.level:
        return node.module or ""
    parents = ("flashode", *path.relative_to(package).parent.parts)
    base = parents[: len(parents) - node.level + 1]
    return ".".join((*base, node.module) if node.module else base)


def place_of(path: Path, package: Path) -> str:
    """`capture/guards` for `capture/guards.py`, `capture/__init__` for the package's own file."""
    return path.relative_to(package).with_suffix("").as_posix()


def imported(name: str, package: Path) -> str:
    """The file of a module, or the one that has the name: `flashode.engines.Plan` → `engines/__init__`."""
    first, *rest = name.split(".")
    if first != "flashode":
        return f"{first}."
    while rest:
        place = "/".join(rest)
        if place == COMPILED or (package / f"{place}.py").exists():
            return place
        if (package / place).is_dir():
            return f"{place}/__init__"
        rest.pop()
    return PUBLIC


def within_itself(target: ast.expr) -> bool:
    """Whether a computed module name begins with the package's own, as in ``f"{__name__}.{file}"``."""
    if not isinstance(target, ast.JoinedStr) or len(target.values) < 2:
        return False
    own, dot = target.values[:2]
    is_own = isinstance(own, ast.FormattedValue) and ast.unparse(own.value) == "__name__"
    return is_own and (text_of(dot) or "").startswith(".")


def called_name(call: ast.Call) -> str:
    """The last name of what is called: `importlib.import_module(…)` → `import_module`."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def text_of(node: ast.expr | None) -> str | None:
    """The string that the expression is a literal of."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def module_texts(tree: ast.Module) -> dict[str, str]:
    """The names that the module binds to string literals at its top level."""
    return {
        target.id: text
        for node in tree.body
        if isinstance(node, ast.Assign) and (text := text_of(node.value)) is not None
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def test_the_table_has_an_order() -> None:
    assert list(disorder(ROOMS)) == []
    assert [
        room for room in ROOMS if not (PACKAGE / room).is_dir() and not (PACKAGE / f"{room}.py").exists()
    ] == []


def test_package_keeps_its_layers() -> None:
    assert list(PACKAGE.rglob("*.py"))
    assert violations(PACKAGE) == []


def test_no_files_import_each_other() -> None:
    assert circles(graph(PACKAGE)) == []


def test_init_holds_names_only() -> None:
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and text_of(node.value) is not None
        is_name = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id in {"__all__", "__version__"}
            for target in node.targets
        )
        assert is_docstring or is_name or isinstance(node, ast.ImportFrom), ast.unparse(node)


SMALL = parse(
    """
    words = wording statistics
    wording:
    statistics:
    methods: words
    program: words
    capture/guards: program words
    capture: capture/guards program words
    engines: capture words (lazily engines/eager engines/native)
    engines/eager: engines methods words
    engines/native: engines capture words
    odeint: engines words
    __init__: odeint
    """
)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("methods.py", "import flashode.engines\n"),
        ("methods.py", "from flashode import odeint\n"),
        ("program/ops.py", "from flashode.capture import capture\n"),
        ("program/ops.py", "from ..capture import capture\n"),
        ("program/ops.py", "def late():\n    from .. import capture\n"),
        ("capture/guards/watch.py", "from flashode.capture import capture\n"),
        ("capture/guards/watch.py", "from flashode.capture.cache import Cache\n"),
        ("engines/protocol.py", "from flashode.capture.guards.watch import Guard\n"),
        ("engines/eager/step.py", "from flashode.engines.native import engine\n"),
        (
            "engines/eager/step.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import flashode.odeint\n",
        ),
        ("engines/eager/step.py", "from flashode import _flashode\n"),
        ("engines/eager/step.py", "import importlib\nimportlib.import_module('flashode._flashode')\n"),
        ("engines/eager/step.py", "import importlib\nX = 'flashode._flashode'\nimportlib.import_module(X)\n"),
        ("odeint.py", "from flashode._flashode import solve\n"),
        ("odeint.py", "import scipy.integrate\n"),
        ("engines/eager/step.py", "from scipy.integrate import solve_ivp\n"),
        ("odeint.py", "from importlib import import_module\nimport_module('flash' + 'ode.cli')\n"),
        ("helpers.py", "import math\n"),
    ],
)
def test_checker_sees_a_violation(tmp_path: Path, file: str, text: str) -> None:
    small_house(tmp_path, {file: text})
    problems = violations(tmp_path, SMALL)
    assert len(problems) == 1
    assert problems[0].startswith(file)


def test_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    small_house(
        tmp_path,
        {
            "engines/native/__init__.py": "import math\nimport torch.nn\nfrom flashode import _flashode\n"
            "from ...capture import capture\nfrom flashode.engines.protocol import Plan\n",
            "engines/__init__.py": "def load():\n    from flashode.engines import native\n",
            "engines/protocol.py": "",
            "capture/guards/objects.py": "from flashode.capture.guards import watch\n",
        },
    )
    assert violations(tmp_path, SMALL) == []
    assert circles(graph(tmp_path)) == []


def test_checker_sees_a_circle(tmp_path: Path) -> None:
    watch, classes = "from flashode.capture.guards import classes\n", "from . import watch\n"
    small_house(
        tmp_path,
        {"capture/guards/watch.py": watch, "capture/guards/classes.py": f"def f():\n    {classes}"},
    )
    assert violations(tmp_path, SMALL) == []
    assert circles(graph(tmp_path)) == [["capture/guards/classes", "capture/guards/watch"]]
    late = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {classes}"
    (tmp_path / "capture" / "guards" / "classes.py").write_text(late)
    assert circles(graph(tmp_path)) == [["capture/guards/classes", "capture/guards/watch"]]


def test_a_table_out_of_order_is_seen() -> None:
    assert list(disorder(SMALL)) == []
    assert list(disorder(parse("capture: engines\nengines:"))) == [
        "capture may not know engines: that stands no higher"
    ]
    assert list(disorder(parse("engines: (lazily engines/eager)"))) == [
        "engines imports engines/eager lazily, which has no row"
    ]


def small_house(package: Path, files: dict[str, str]) -> None:
    """Writes a package with the rooms of the small table, and some files in it."""
    for place in (*SMALL, "engines/protocol", "capture/cache", "capture/guards/watch"):
        single = place in ("methods", "odeint", "wording", "statistics", "__init__") or place not in SMALL
        path = package / (f"{place}.py" if single else f"{place}/__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for file, text in files.items():
        path = package / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
