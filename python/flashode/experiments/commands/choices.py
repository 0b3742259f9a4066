"""The options that experiments share."""

from pathlib import Path
from typing import Annotated

import typer

from flashode.cli.terminal import engine_option

ENGINE = "auto"
EngineOption = Annotated[str, engine_option("Which engine solves.")]
SEED = 0
SeedOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=2**63 - 1,
        help="Initial weights and all that is drawn at random.",
        show_default=f"{SEED}, or what the file of --resume has",
    ),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        readable=True,
        metavar="FILE",
        help="Go on from the model.pt that an earlier run left; --epochs counts from the very start.",
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(
        file_okay=False, help="Folder for figures, metrics.json, model.pt and report.html; made if absent."
    ),
]
AdjointOption = Annotated[
    bool | None,
    typer.Option(
        "--adjoint/--no-adjoint",
        help="Gradients by the continuous adjoint, not the discrete.",
        show_default="no-adjoint, or what the file of --resume has",
    ),
]
