"""What commands share: printing, exit statuses, the option of an engine."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console

from flashode.engines import AUTO, REGISTRY

console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)

# Statuses that commands end with.
FAILED = 1  # as of a Python program that an exception ended
WRONG_USE = 2
INTERRUPTED = 130  # as a shell gives a program stopped by Ctrl-C

ENGINES = (AUTO, *REGISTRY)


def _check_engine(name: str) -> str:
    if name not in ENGINES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, ENGINES))}.")
    return name


def engine_option(text: str) -> Any:
    """The option `--engine`: a name that `use_engine` takes.

    Args:
        text: What `--help` says of it.
    """
    return typer.Option(callback=_check_engine, metavar=f"[{'|'.join(ENGINES)}]", help=text)


def say(text: str) -> None:
    """Prints a line as it is, however long."""
    console.print(text, markup=False, soft_wrap=True)


def say_error(text: object) -> None:
    """Prints what is wrong to stderr."""
    errors.print(f"error: {text}", style="red", markup=False, soft_wrap=True)


def require(packages: Sequence[str], extra: str, others: Sequence[str] = ()) -> None:
    """Ends the command where it lacks a package, and says what to install.

    Args:
        packages: Packages of one of flashode's extras.
        extra: Name of the extra.
        others: Packages that the extra does not have.
    """
    missing = [name for name in (*packages, *others) if importlib.util.find_spec(name) is None]
    if not missing:
        return
    remedy = " ".join(missing) if set(missing) & set(others) else f"'flashode[{extra}]'"
    errors.print(f"error: this needs {', '.join(missing)}, not installed here. Try:", style="red")
    errors.print(f"    pip install {remedy}", markup=False, soft_wrap=True)
    raise typer.Exit(FAILED)
