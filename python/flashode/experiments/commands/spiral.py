"""The command `flashode spiral`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor, nn

import flashode
from flashode.experiments import noisy, page, results, spiral
from flashode.experiments.commands.choices import AdjointOption, EngineOption, SeedOption
from flashode.experiments.commands.noisy import run_noisy
from flashode.experiments.engine import Engine
from flashode.experiments.session import Session, session, tell

EPOCHS = 15
_PEER = "torchdiffeq"


def run(
    engine: EngineOption = Engine.auto,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Epochs to train, of {spiral.PLAIN.updates_per_epoch} updates, or of "
            f"{noisy.SETTING.updates_per_epoch} with --noisy.",
            show_default=f"{EPOCHS}, or {noisy.EPOCHS} with --noisy",
        ),
    ] = None,
    adjoint: AdjointOption = False,
    compare: Annotated[
        bool, typer.Option("--compare", help=f"Train with {_PEER} as well, and print the ratio of the times.")
    ] = False,
    noisy_: Annotated[
        bool, typer.Option("--noisy", help="Other dynamics, observed with noise: a layer and a perceptron.")
    ] = False,
    noise: Annotated[
        float | None,
        typer.Option(min=0.0, help="Standard deviation of it.", show_default=f"{noisy.NOISE} with --noisy"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder for figures, metrics.json and report.html; made if absent.",
            show_default="results/spiral, or results/noisy with --noisy",
        ),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Train a neural ODE on a spiral and draw what it learned."""
    if noise is not None and not math.isfinite(noise):
        raise typer.BadParameter(f"must be a finite number, got {noise}", param_hint="'--noise'")
    if noise is not None and not noisy_:
        raise typer.BadParameter("goes with --noisy alone", param_hint="'--noise'")
    if noisy_ and (compare or adjoint):
        raise typer.BadParameter("does not go with --compare or --adjoint", param_hint="'--noisy'")
    if noisy_:
        level = noisy.NOISE if noise is None else noise
        run_noisy(engine, epochs or noisy.EPOCHS, level, out or Path("results/noisy"), seed)
        return
    with session("spiral", out or Path("results/spiral"), engine, (_PEER,) if compare else ()) as own:
        _train(own, epochs or EPOCHS, adjoint, compare, seed)


def _train(own: Session, epochs: int, adjoint: bool, compare: bool, seed: int) -> None:
    observations = spiral.observe()
    field = spiral.make_field(seed)
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    history: list[spiral.Epoch] = []
    with own.bar(epochs=epochs, updates_per_epoch=spiral.PLAIN.updates_per_epoch) as bar:
        used = results.engine_of(field, observations.states[0], observations.times)
        for epoch in spiral.train(
            field, observations, epochs=epochs, seed=seed, solve=solve, on_update=bar.update
        ):
            history.append(epoch)
            assert epoch.matrix is not None
            own.note(
                seed=seed,
                epochs=epoch.number,
                engine=used,
                gradients="continuous adjoint" if adjoint else "discrete adjoint",
                loss=[past.loss for past in history],
                learned_matrix=epoch.matrix.tolist(),
                distance_to_true_matrix=spiral.distance_to_truth(epoch.matrix),
                training_seconds=time.perf_counter() - own.began,
                function_evaluations=field.nfe,
            )
    if compare:
        _compare(own, epochs, adjoint, seed)
    _report(own.metrics)
    flags = tuple(flag for flag, on in (("--adjoint", adjoint), ("--compare", compare)) if on)
    _leave(own, history, observations, epochs, flags)


def _compare(own: Session, epochs: int, adjoint: bool, seed: int) -> None:
    """Trains alike with both libraries, and notes how long each took after an epoch that warms it up."""
    import torchdiffeq

    name = "odeint_adjoint" if adjoint else "odeint"
    took: dict[str, float] = {}
    last: dict[str, float] = {}
    for library in (flashode, torchdiffeq):

        def solve(field: nn.Module, y0: Tensor, t: Tensor, library: object = library) -> Tensor:
            states: Tensor = getattr(library, name)(field, y0, t)
            return states

        observations, field = spiral.observe(), spiral.make_field(seed)
        list(spiral.train(spiral.make_field(seed), observations, epochs=1, seed=seed, solve=solve))
        title = f"spiral, {library.__name__}"
        with own.bar(epochs=epochs, updates_per_epoch=spiral.PLAIN.updates_per_epoch, title=title) as bar:
            began = time.perf_counter()
            history = list(
                spiral.train(field, observations, epochs=epochs, seed=seed, solve=solve, on_update=bar.update)
            )
            took[library.__name__] = time.perf_counter() - began
        last[library.__name__] = history[-1].loss
    own.note(
        compared_seconds=took,
        compared_loss=last,
        times_as_fast=took[_PEER] / took["flashode"],
    )


def _report(metrics: dict[str, object]) -> None:
    loss, matrix = metrics["loss"], metrics["learned_matrix"]
    assert isinstance(loss, list)
    assert isinstance(matrix, list)
    rows = ", ".join("[" + ", ".join(f"{entry:+.4f}" for entry in row) + "]" for row in matrix)
    lines = {
        "engine": f"{metrics['engine']}, {metrics['gradients']}",
        "cost": f"{metrics['training_seconds']:.2f} s, {metrics['function_evaluations']:,} evaluations of "
        "the field",
        "error": f"{loss[0]:.2e} before training, {loss[-1]:.2e} after {metrics['epochs']} epochs",
        "learned": f"[{rows}]",
        "": f"every entry within {metrics['distance_to_true_matrix']:.1e} of the truth",
    }
    if "compared_seconds" in metrics:
        took, last = metrics["compared_seconds"], metrics["compared_loss"]
        assert isinstance(took, dict)
        assert isinstance(last, dict)
        lines["compared"] = (
            f"flashode {took['flashode']:.2f} s, {_PEER} {took[_PEER]:.2f} s: "
            f"{metrics['times_as_fast']:.0f} times as fast, to errors of {last['flashode']:.2e} and "
            f"{last[_PEER]:.2e}"
        )
    tell(lines)


def _leave(
    own: Session,
    history: list[spiral.Epoch],
    observations: spiral.Observations,
    epochs: int,
    flags: tuple[str, ...],
) -> None:
    from flashode.experiments.figures import spiral as figures  # matplotlib takes half a second to import

    metrics = own.metrics
    first, last = history[0].loss, history[-1].loss
    rows = [
        ("mean squared error before training", f"{first:.2e}"),
        (f"after {epochs} epochs of {spiral.PLAIN.updates_per_epoch} updates", f"{last:.2e}"),
        ("largest error of an entry of A", f"{metrics['distance_to_true_matrix']:.1e}"),
        ("seconds of training", f"{metrics['training_seconds']:.2f}"),
    ]
    if "times_as_fast" in metrics:
        rows.append((f"times as fast as with {_PEER}", f"{metrics['times_as_fast']:.0f}"))
    own.leave(
        "A linear neural ODE learns a spiral",
        "A 2×2 linear layer is trained on random segments of ten observations of a slow inward spiral, each "
        "solved from its first observation with dopri5.",
        page.Table(("", "ours"), tuple(rows)),
        [
            page.Figure(
                figures.draw_trajectories(history, observations, own.out / "trajectories.png"),
                "What the model predicts from the start at chosen epochs: in the phase plane, and over time.",
            ),
            page.Figure(
                figures.draw_loss(history, own.out / "loss.png"),
                "The error over the whole trajectory after each epoch.",
            ),
        ],
        own.again("spiral", epochs=epochs, seed=metrics["seed"], flags=flags),
    )
