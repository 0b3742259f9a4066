"""The program `flashode` for one command line, with only the command imported that the line names."""

from collections.abc import Sequence
from typing import Annotated

import typer

import flashode
from flashode.cli.commands import SUMMARIES, load
from flashode.cli.terminal import console


def app(arguments: Sequence[str]) -> typer.Typer:
    """The program; of commands that the arguments do not name, only the summaries are there."""
    program = typer.Typer(
        name="flashode",
        help="Neural ODEs with the whole solve in one compiled kernel: programs written for torchdiffeq, "
        "what runs a field, and experiments.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    program.callback()(_options)
    named = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in SUMMARIES.items():
        if name == named:
            # Options end at the program that `flashode run` runs: what follows is its own.
            settings = {"allow_interspersed_args": name != "run"}
            program.command(name=name, context_settings=settings)(load(name))
        else:
            program.command(name=name, help=summary)(_not_named)
    return program


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"flashode {flashode.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself."""


def _not_named() -> None:
    raise AssertionError("a command line runs the command that it names")
