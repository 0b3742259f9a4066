"""Which room of the Python package may know which, as DESIGN has it, read off the import statements."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "python" / "flashode"
COMPILED = "_flashode"
PUBLIC = "__init__"  # what a room knows that writes `import flashode` or `from flashode import odeint`

# Words that every room speaks: they import nothing of ours but each other.
VOCABULARY = {
    "blocks",
    "declined",
    "dispatch",
    "errors",
    "memory",
    "notices",
    "statistics",
    "uncompiled",
    "verify",
    "wording",
}

# odeint, solve → problem, autograd → capture, engines → program, methods. The Problem alone is handed down to
# the engines, so they know it; capture is given a function and a state, and does not.
MAY_KNOW: dict[str, set[str]] = {
    "blocks": {"notices"},
    "declined": set(),
    "dispatch": set(),
    "memory": set(),
    "notices": set(),
    "uncompiled": set(),
    "verify": set(),
    "wording": set(),
    "statistics": set(),
    "errors": {"statistics"},
    "methods": VOCABULARY,
    "state": VOCABULARY,
    "program": VOCABULARY,
    "capture": {"program", "state"} | VOCABULARY,
    "engines": {"capture", "program", "methods", "problem", "state"} | VOCABULARY,
    "problem": {"methods", "state"} | VOCABULARY,
    "autograd": {"engines", "problem"} | VOCABULARY,
    "odeint": {"problem", "autograd", "engines", "methods", "state"} | VOCABULARY,
    "explain": {"problem", "capture", "program", "engines"} | VOCABULARY,
    "compat": {"odeint", "methods", "problem"} | VOCABULARY,
    "recording": {"engines", "problem"} | VOCABULARY,
    "transforms": {"wording"},
    "__init__": {"compat", "explain", "odeint", "recording", "engines", "problem", "methods", "transforms"}
    | VOCABULARY,
    "bench": {PUBLIC, "cli", "engines", "recording"},
    "experiments": {PUBLIC, "bench", "cli", "engines", "problem", "transforms"} | VOCABULARY,
    "cli": {PUBLIC, "bench", "experiments", "problem", "recording"},
    "__main__": {"cli"},
}
MAY_KNOW_COMPILED = {"engines/native/__init__.py"}
THIRD_PARTIES = {"torch", "numpy"}
# By room, or by file.
EXTRA_PACKAGES = {
    "bench": {"diffrax", "jax", "jinja2", "matplotlib", "rich", "scipy"}
    | {"torchdiffeq", "torchdyn", "torchode", "typer"},
    "cli": {"rich", "typer"},
    "compat": {"torchdiffeq"},
    "engines/eager/scipy_solver.py": {"scipy"},
    "experiments": {"jinja2", "matplotlib", "rich", "scipy", "typer"},
    "experiments/commands/spiral.py": {"torchdiffeq"},
}


def violations(package: Path) -> list[str]:
    """Every import in the package that the tables above do not allow, one line each."""
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        room = place.parts[0].removesuffix(".py")
        if room not in MAY_KNOW:
            found.append(f"{place}: the room {room} has no row in the table")
            continue
        for line, known in imports(path, package):
            if not allowed(place, room, known):
                found.append(f"{place}:{line}: {room} may not know {known}")
    return found


def allowed(place: Path, room: str, known: str) -> bool:
    """Whether a file may import a room (or, written `name.`, another package)."""
    if known.endswith("."):
        name = known[:-1]
        extra = EXTRA_PACKAGES.get(room, set()) | EXTRA_PACKAGES.get(place.as_posix(), set())
        return name in sys.stdlib_module_names | THIRD_PARTIES | extra
    if known == COMPILED:
        return place.as_posix() in MAY_KNOW_COMPILED
    return known == room or known in MAY_KNOW[room]


def imports(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and imported room of each import, wherever it stands; another package is written `name.`."""
    tree = ast.parse(path.read_text())
    texts = module_texts(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, room_of(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path, package)
            if module == "flashode":
                for alias in node.names:
                    yield node.lineno, room_of_name(alias.name, package)
            else:
                yield node.lineno, room_of(module)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            target = node.args[0]
            if within_itself(target):
                continue
            name = texts.get(target.id) if isinstance(target, ast.Name) else text_of(target)
            # A name that is put together when it runs cannot be checked, and so is not allowed.
            yield node.lineno, "a computed module name" if name is None else room_of(name)


def absolute(node: ast.ImportFrom, path: Path, package: Path) -> str:
    """The dotted name of the module that an import statement names, relative or not."""
    if not node.level:
        return node.module or ""
    parents = ("flashode", *path.relative_to(package).parent.parts)
    base = parents[: len(parents) - node.level + 1]
    return ".".join((*base, node.module) if node.module else base)


def room_of(module: str) -> str:
    """`flashode.engines.native` → `engines`, `flashode` → the public names, `torch.nn` → `torch.`."""
    first, *rest = module.split(".")
    if first != "flashode":
        return f"{first}."
    return rest[0] if rest else PUBLIC


def room_of_name(name: str, package: Path) -> str:
    """What `from flashode import name` imports: a room, or a public name."""
    is_room = name == COMPILED or (package / name).is_dir() or (package / f"{name}.py").exists()
    return name if is_room else PUBLIC


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


def test_package_keeps_its_layers() -> None:
    assert list(PACKAGE.rglob("*.py"))
    assert violations(PACKAGE) == []


def test_init_holds_names_only() -> None:
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and text_of(node.value) is not None
        is_name = isinstance(node, ast.Assign) and all(
            isinstance(target, ast.Name) and target.id in {"__all__", "__version__"}
            for target in node.targets
        )
        assert is_docstring or is_name or isinstance(node, ast.ImportFrom), ast.unparse(node)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("methods.py", "import flashode.engines\n"),
        ("methods.py", "from flashode import odeint\n"),
        ("program/ops.py", "from flashode.capture import capture\n"),
        ("program/ops.py", "from ..capture import capture\n"),
        ("program/ops.py", "def late():\n    from .. import capture\n"),
        ("capture/trace.py", "from flashode.problem import Problem\n"),
        ("problem/options.py", "from flashode.engines import choose\n"),
        ("engines/eager/step.py", "from flashode.autograd import DiscreteAdjoint\n"),
        ("engines/eager/step.py", "from flashode import _flashode\n"),
        ("engines/eager/step.py", "import importlib\nimportlib.import_module('flashode._flashode')\n"),
        ("engines/eager/step.py", "import importlib\nX = 'flashode._flashode'\nimportlib.import_module(X)\n"),
        ("odeint.py", "from flashode._flashode import solve\n"),
        ("odeint.py", "from flashode.experiments import spiral\n"),
        ("odeint.py", "import scipy.integrate\n"),
        ("engines/eager/step.py", "from scipy.integrate import solve_ivp\n"),
        ("odeint.py", "from importlib import import_module\nimport_module('flash' + 'ode.cli')\n"),
        ("helpers.py", "import math\n"),
    ],
)
def test_checker_sees_a_violation(tmp_path: Path, file: str, text: str) -> None:
    for room in ("capture", "experiments"):
        (tmp_path / room).mkdir()
    (tmp_path / "odeint.py").touch()
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(file)


def test_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "engines" / "native").mkdir(parents=True)
    (tmp_path / "program").mkdir()
    text = "import math\nimport torch.nn\nfrom flashode import _flashode\nfrom ...program import Program\n"
    (tmp_path / "engines" / "native" / "__init__.py").write_text(text)
    assert violations(tmp_path) == []
