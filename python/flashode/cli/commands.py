"""The commands of the program `flashode`: what each is for, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable

# By name; the same as the first paragraph of the function's docstring, which is imported only to be run.
SUMMARIES = {
    "info": "Show the version, the instruction sets, the threads, and whether a GPU can be used.",
    "explain": "Show which engine would run a function, and why not a faster one.",
    "bench": "Measure flashode beside its peers: time, memory, accuracy. Wrong answers of ours fail, times "
    "never.",
    "run": "Run a program written for torchdiffeq with flashode in its place.",
    "spiral": "Train a neural ODE on a spiral and draw what it learned.",
    "poisson": "Solve Poisson's equation by a physics-informed neural ODE, as published and as works best.",
    "cnf": "Learn the density of two circles by a continuous normalizing flow.",
    "latent": "Learn spirals from noisy pieces by a latent ODE, and continue them.",
}


def load(name: str) -> Callable[..., None]:
    """Imports the function that runs a command: its parameters are the command's."""
    match name:
        case "info":
            from flashode.cli import info

            return info.info
        case "explain":
            from flashode.cli import explain

            return explain.explain
        case "bench":
            from flashode.bench import command

            return command.bench
        case "run":
            from flashode.cli import run

            return run.run
        case "spiral":
            from flashode.experiments.commands import spiral

            return spiral.run
        case "poisson":
            from flashode.experiments.commands import poisson

            return poisson.run
        case "cnf":
            from flashode.experiments.commands import cnf

            return cnf.run
        case "latent":
            from flashode.experiments.commands import latent

            return latent.run
        case _:
            raise KeyError(name)
