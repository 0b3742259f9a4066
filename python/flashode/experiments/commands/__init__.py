"""The commands of the program `flashode`."""

from typing import Annotated

import typer

import flashode
from flashode.bench import command as benchmarking
from flashode.experiments import explaining, running
from flashode.experiments.commands import cnf, latent, poisson, spiral
from flashode.experiments.session import console

app = typer.Typer(
    name="flashode",
    help="Neural ODEs with the whole solve in one compiled kernel: programs written for torchdiffeq, what "
    "runs a field, and experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"flashode {flashode.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def info() -> None:
    """Show the version, the instruction sets, the threads, and whether a GPU can be used."""
    for name, value in flashode.build_info().items():
        console.print(f"{name:<20} {', '.join(value) if isinstance(value, list | tuple) else value}")


app.command(name="explain")(explaining.explain)

app.command(name="bench")(benchmarking.bench)

# Options end at the program: what follows is its own.
app.command(name="run", context_settings={"allow_interspersed_args": False})(running.run)

app.command(name="spiral")(spiral.run)
app.command(name="poisson")(poisson.run)
app.command(name="cnf")(cnf.run)
app.command(name="latent")(latent.run)
