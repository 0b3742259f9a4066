"""What importing flashode brings in, looked at in a fresh interpreter."""

import subprocess
import sys

import pytest

SLOW = ("matplotlib", "numba", "rich", "scipy", "sympy", "typer")


def modules_after(statement: str) -> set[str]:
    """The names of the modules that an interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def torch_modules() -> set[str]:
    return modules_after("import torch")


def test_import_brings_torch_and_numpy_only(torch_modules: set[str]) -> None:
    added = {name.partition(".")[0] for name in modules_after("import torch, flashode") - torch_modules}
    assert added - sys.stdlib_module_names <= {"flashode", "torch", "numpy"}


def test_import_leaves_the_slow_parts_of_torch_alone(torch_modules: set[str]) -> None:
    added = modules_after("import torch, flashode") - torch_modules
    # Tracing machinery costs more to import than all of flashode; the first capture pays for it.
    slow = ("torch._dynamo", "torch._inductor", "torch.fx.experimental", "torch._functorch")
    assert {name for name in added if name.startswith(slow)} == set()


def test_import_leaves_the_compiled_module_to_the_first_solve() -> None:
    assert "flashode._flashode" not in modules_after("import flashode")


def test_command_line_imports_no_package_of_the_experiments() -> None:
    loaded = modules_after("import flashode.cli") - modules_after("import flashode")
    assert {name.partition(".")[0] for name in loaded} & set(SLOW) == set()


def test_commands_import_no_matplotlib() -> None:
    pytest.importorskip("typer")
    statement = "from flashode.cli import commands; [*map(commands.load, commands.SUMMARIES)]"
    assert "matplotlib" not in modules_after(statement)
