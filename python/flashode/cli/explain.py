"""The command `flashode explain`: what `flashode.explain` says of a function named on the command line."""

import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

import flashode
from flashode.cli.main_module import is_part
from flashode.cli.terminal import FAILED, WRONG_USE, console, say, say_error
from flashode.engines import FALLBACK
from flashode.problem import DEFAULT_METHOD


class Precision(StrEnum):
    """The dtype of the state."""

    float32 = "float32"
    float64 = "float64"


class WrongUse(Exception):
    """An argument that makes no sense; the message says which and why."""


def explain(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:OBJECT",
            help="What to explain, such as field:Net, package.module:make_field or path/to/field.py:net: a "
            "function of (t, y), a Module, or a class or function that makes one when called without "
            "arguments. The working directory can be imported from.",
            show_default=False,
        ),
    ],
    shape: Annotated[
        list[str],
        typer.Option(
            help="Shape of y0: 20,2 for 20 trajectories of 2 numbers, '' for a single number. Once for each "
            "component of a tuple state.",
            show_default=False,
        ),
    ],
    dtype: Annotated[
        Precision | None,
        typer.Option(help="Precision of y0; without it that of the Module's parameters, else float32."),
    ] = None,
    time: Annotated[float, typer.Option(help="Time at which the function is defined.")] = 0.0,
    method: Annotated[str, typer.Option(help="The method.")] = DEFAULT_METHOD,
    device: Annotated[
        str, typer.Option(help="Where y0 is, and a Module is brought to, such as cpu or cuda:0.")
    ] = "cpu",
    source: Annotated[
        bool, typer.Option("--source", help="Show the text of kernels that are compiled for the function.")
    ] = False,
    adjoint: Annotated[
        bool, typer.Option("--adjoint", help="Explain odeint_adjoint rather than odeint.")
    ] = False,
) -> None:
    """Show which engine would run a function, and why not a faster one."""
    try:
        field = load(target)
        y0 = draw(shape, _precision(field) if dtype is None else getattr(torch, dtype.value))
        field, y0 = _on(device, field, y0)
        explanation = flashode.explain(
            field,
            y0,
            time,
            method=method,
            source=source,
            adjoint=adjoint,
            adjoint_params=() if adjoint and not isinstance(field, nn.Module) else None,
        )
    except (WrongUse, TypeError, ValueError) as error:
        say_error(error)
        raise typer.Exit(WRONG_USE) from None
    headline, _, rest = str(explanation).partition("\n")
    fast = explanation.error is None and explanation.engine not in (None, FALLBACK)
    console.print(headline, style="bold green" if fast else "bold yellow", markup=False, soft_wrap=True)
    say(rest)
    console.print("\ny0 was drawn from a standard normal distribution (seed 0).", style="dim")
    if explanation.error is not None:
        raise typer.Exit(FAILED)


def _on(device: str, field: Any, y0: Any) -> tuple[Any, Any]:
    """The field, if it is a Module, and the state on a device."""
    try:
        moved = tuple(part.to(device) for part in y0) if isinstance(y0, tuple) else y0.to(device)
        return field.to(device) if isinstance(field, nn.Module) else field, moved
    except (RuntimeError, AssertionError) as error:
        # Torch without CUDA asserts that it has it.
        raise WrongUse(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from None


def _precision(field: object) -> torch.dtype:
    parameters = field.parameters() if isinstance(field, nn.Module) else iter(())
    return next((p.dtype for p in parameters if p.dtype.is_floating_point), torch.float32)


def draw(shapes: list[str], dtype: torch.dtype) -> Any:
    """A state of the given shapes, the same each time: a tensor, or a tuple if there are several."""
    generator = torch.Generator().manual_seed(0)
    parts = tuple(_normal(text, dtype, generator) for text in shapes)
    return parts if len(parts) > 1 else parts[0]


def _normal(text: str, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    shape = _shape(text)
    try:
        return torch.randn(shape, dtype=dtype, generator=generator)
    except (RuntimeError, TypeError, MemoryError):
        # Sizes that torch cannot count raise one, sizes that do not fit into memory another.
        raise WrongUse(f"--shape {text} is too large: the state does not fit into memory") from None


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.split(",")) if text.strip() else ()
    except ValueError:
        shape = (-1,)
    if min(shape, default=1) < 1:
        raise WrongUse(f"--shape must be positive whole numbers with commas between them, got {text!r}")
    return shape


def load(target: str) -> Callable[..., Any]:
    """The function that ``target`` names; a class, or a function without arguments, is called."""
    place, _, name = target.rpartition(":")
    if not _is_dotted(name) or not (place.endswith(".py") or _is_dotted(place)):
        raise WrongUse(
            "what to explain must be written module:object or path/to/file.py:object, where module and "
            f"object are names with dots between them, got {target!r}"
        )
    value = _attribute(place, name)
    if _is_factory(value):
        try:
            value = value()
        except (Exception, SystemExit) as error:
            raise WrongUse(f"{name}() raised {type(error).__name__}: {error}") from error
    if not callable(value):
        raise WrongUse(f"{name} in {place} cannot be called: its type is {type(value).__name__}")
    field: Callable[..., Any] = value
    return field


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _attribute(place: str, name: str) -> Any:
    # Hides our arguments from a module that reads the command line while it is imported.
    arguments, sys.argv = sys.argv, [place]
    try:
        if place.endswith(".py"):
            return pkgutil.resolve_name(f"{_executed(Path(place))}:{name}")
        sys.path.insert(0, os.getcwd())
        return pkgutil.resolve_name(f"{place}:{name}")
    except WrongUse:
        raise
    except SystemExit as stop:
        raise WrongUse(
            f"importing {place} ends the program ({stop}): what it does as a program belongs under "
            'if __name__ == "__main__":'
        ) from None
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and is_part(error.name, place):
            raise WrongUse(
                f"there is no module {error.name!r} here or among the installed packages"
            ) from None
        if isinstance(error, AttributeError) and error.obj is not None and error.name in name.split("."):
            raise WrongUse(f"{place} has no {name!r}") from None
        raise WrongUse(f"importing {place} raised {type(error).__name__}: {error}") from error
    finally:
        sys.argv = arguments


def _executed(path: Path) -> str:
    """Runs a file as a module, and gives the module's name."""
    if not path.is_file():
        raise WrongUse(f"there is no file {path}")
    sys.path.insert(0, str(path.resolve().parent))
    name = f"explained_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return name


def _is_factory(value: Any) -> bool:
    if isinstance(value, type):
        return True
    if not inspect.isroutine(value):
        return False
    try:
        taken = inspect.signature(value).parameters.values()
    except ValueError:
        return False
    return all(parameter.default is not parameter.empty for parameter in taken) and len(taken) < 2
