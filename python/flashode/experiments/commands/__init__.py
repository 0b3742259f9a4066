"""The commands of the program `flashode`."""

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import flashode
from flashode.bench import command as benchmarking
from flashode.engines import EngineDeclined
from flashode.experiments import explaining, results, running, spiral
from flashode.experiments.engine import Engine
from flashode.experiments.progress import TrainingBar
from flashode.experiments.running import INTERRUPTED

app = typer.Typer(
    name="flashode",
    help="Neural ODEs with the whole solve in one compiled kernel: programs written for torchdiffeq, what "
    "runs a field, and experiments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)


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


@app.command(name="spiral")
def run_spiral(
    engine: Annotated[Engine, typer.Option(help="Which engine solves.")] = Engine.auto,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train; one is 8 updates.")] = 15,
    adjoint: Annotated[
        bool,
        typer.Option("--adjoint/--no-adjoint", help="Gradients by the continuous adjoint, not the discrete."),
    ] = False,
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the figures and metrics.json; made if absent.")
    ] = Path("results/spiral"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Initial weights and choice of segments.")
    ] = 0,
) -> None:
    """Train a linear neural ODE on a spiral and draw what it learned."""
    _require_matplotlib()
    _make_folder(out)
    observations = spiral.observe()
    field = spiral.make_field(seed)
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    history: list[spiral.Epoch] = []
    metrics: dict[str, object] = {}
    began = time.perf_counter()
    with (
        _clear_errors(out),
        flashode.use_engine(engine.value),
        TrainingBar(
            "spiral", epochs=epochs, updates_per_epoch=spiral.UPDATES_PER_EPOCH, console=console
        ) as bar,
    ):
        used = results.engine_of(field, observations.states[0], observations.times)
        for epoch in spiral.train(
            field, observations, epochs=epochs, seed=seed, solve=solve, on_update=bar.update
        ):
            history.append(epoch)
            metrics = {
                "experiment": "spiral",
                "seed": seed,
                "epochs": epoch.number,
                "engine": used,
                "gradients": "continuous adjoint" if adjoint else "discrete adjoint",
                "loss": [past.loss for past in history],
                "learned_matrix": epoch.matrix.tolist(),
                "distance_to_true_matrix": spiral.distance_to_truth(epoch.matrix),
                "seconds": time.perf_counter() - began,
                "function_evaluations": field.nfe,
                "versions": results.versions(),
            }
            results.write_metrics(out, metrics)
    _report_spiral(metrics)
    _draw_spiral(history, observations, out)


def _draw_spiral(history: list[spiral.Epoch], observations: spiral.Observations, out: Path) -> None:
    from flashode.experiments.figures import spiral as figures  # matplotlib takes half a second to import

    with _clear_errors(out):
        written = (
            figures.draw_trajectories(history, observations, out / "trajectories.png"),
            figures.draw_loss(history, out / "loss.png"),
            out / "metrics.json",
        )
    _print_line("written", f"{', '.join(path.name for path in written)} in {out}")


def _report_spiral(metrics: dict[str, object]) -> None:
    loss, matrix = metrics["loss"], metrics["learned_matrix"]
    assert isinstance(loss, list)
    assert isinstance(matrix, list)
    rows = ", ".join("[" + ", ".join(f"{entry:+.4f}" for entry in row) + "]" for row in matrix)
    lines = {
        "engine": f"{metrics['engine']}, {metrics['gradients']}",
        "cost": f"{metrics['seconds']:.2f} s, {metrics['function_evaluations']:,} evaluations of the field",
        "error": f"{loss[0]:.2e} before training, {loss[-1]:.2e} after {metrics['epochs']} epochs",
        "learned": f"[{rows}]",
        "": f"every entry within {metrics['distance_to_true_matrix']:.1e} of the truth",
    }
    for name, text in lines.items():
        _print_line(name, text)


def _print_line(name: str, text: str) -> None:
    console.print(f"  {name:<10}{text}", markup=False, soft_wrap=True)


def _require_matplotlib() -> None:
    """Before the training, not after it."""
    if importlib.util.find_spec("matplotlib") is None:
        errors.print("error: the figures need matplotlib, not installed here. Try:", style="red")
        errors.print("    pip install 'flashode[experiments]'", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot make {out}: {error.strerror}", param_hint="'--out'") from error


@contextmanager
def _clear_errors(out: Path) -> Iterator[None]:
    """Turns what a user can cause into one line and a status, without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"stopped; what was finished is in {out}")
        raise typer.Exit(INTERRUPTED) from None
    except (flashode.SolverError, EngineDeclined, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
