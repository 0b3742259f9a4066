"""The options that experiments share."""

from pathlib import Path
from typing import Annotated

import typer

from flashode.experiments.engine import Engine

EngineOption = Annotated[Engine, typer.Option(help="Which engine solves.")]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Initial weights and all that is drawn at random.")
]
OutOption = Annotated[
    Path,
    typer.Option(file_okay=False, help="Folder for figures, metrics.json and report.html; made if absent."),
]
AdjointOption = Annotated[
    bool,
    typer.Option("--adjoint/--no-adjoint", help="Gradients by the continuous adjoint, not the discrete."),
]
