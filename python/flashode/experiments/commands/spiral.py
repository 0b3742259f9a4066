"""The command `flashode spiral`."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from torch import nn

import flashode
from flashode.experiments import noisy, page, results, spiral
from flashode.experiments.commands import resuming
from flashode.experiments.commands.choices import (
    ENGINE,
    SEED,
    AdjointOption,
    EngineOption,
    ResumeOption,
    SeedOption,
)
from flashode.experiments.commands.noisy import run_noisy
from flashode.experiments.progress import Bar
from flashode.experiments.published import CITATION
from flashode.experiments.session import Command, Session, session, tell
from flashode.experiments.training import Training

EPOCHS = spiral.PUBLISHED_EPOCHS
_PEER = "torchdiffeq"
_FIELD = "field"  # the training's name in the file


def run(
    engine: EngineOption = ENGINE,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Epochs to train, of {spiral.PLAIN.updates_per_epoch} updates, or of "
            f"{noisy.SETTING.updates_per_epoch} with --noisy.",
            show_default=f"{EPOCHS}, or {noisy.EPOCHS} with --noisy",
        ),
    ] = None,
    adjoint: AdjointOption = None,
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
            help="Folder for figures, metrics.json, model.pt and report.html; made if absent.",
            show_default="results/spiral, or results/noisy with --noisy",
        ),
    ] = None,
    seed: SeedOption = None,
    resume: ResumeOption = None,
) -> None:
    """Train a neural ODE on a spiral and draw what it learned."""
    if noise is not None and not math.isfinite(noise):
        raise typer.BadParameter(f"must be a finite number, got {noise}", param_hint="'--noise'")
    if noise is not None and not noisy_:
        raise typer.BadParameter("goes with --noisy only", param_hint="'--noise'")
    if noisy_ and (compare or adjoint):
        raise typer.BadParameter("does not go with --compare or --adjoint", param_hint="'--noisy'")
    if noisy_:
        run_noisy(engine, epochs, noise, out or Path("results/noisy"), seed, resume)
        return
    earlier = resuming.Earlier.at(resume, "spiral")
    adjoint = earlier.settled("adjoint", adjoint, False)
    seed = earlier.settled("seed", seed, SEED)
    epochs = earlier.epochs(epochs, EPOCHS)
    words = ("spiral", "--compare") if compare else ("spiral",)
    settings = {"epochs": epochs, "adjoint": adjoint, "seed": seed}
    command = Command(words, out or Path("results/spiral"), engine, resume, settings)
    training, observations = spiral.begin(seed), spiral.observe()
    earlier.restore(_FIELD, training)
    history = earlier.history(spiral.Epoch)
    with session("spiral", command, (_PEER,) if compare else (), earlier.saved.metrics) as own:
        _train(own, training, history, observations, epochs, adjoint)
        if compare:
            _compare(own, epochs, adjoint, seed)
        _report(own.metrics)
        _leave(own, history, observations)


def _train(
    own: Session,
    training: Training[nn.Module],
    history: list[spiral.Epoch],
    observations: spiral.Observations,
    epochs: int,
    adjoint: bool,
) -> None:
    """Adds to the history."""
    field = training.model
    assert isinstance(field, spiral.LinearField)
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    seconds, field.nfe = own.metrics.get("training_seconds", 0.0), own.metrics.get("function_evaluations", 0)
    own.note(
        engine=results.engine_of(field, observations.states[0], observations.times),
        gradients="continuous adjoint" if adjoint else "discrete adjoint",
        published={"source": CITATION, "epochs": spiral.PUBLISHED_EPOCHS},
    )
    with _bar(own, epochs, done=training.epoch) as bar:
        for epoch in spiral.train(training, observations, epochs=epochs, solve=solve, on_update=bar.update):
            history.append(epoch)
            assert epoch.matrix is not None
            own.note(
                epochs=epoch.number,
                loss=[past.loss for past in history],
                learned_matrix=epoch.matrix.tolist(),
                distance_to_true_matrix=spiral.distance_to_truth(epoch.matrix),
                training_seconds=seconds + time.perf_counter() - own.began,
                function_evaluations=field.nfe,
            )
            own.keep({_FIELD: training}, {"epochs": [vars(past) for past in history]})


def _bar(own: Session, epochs: int, *, title: str = "", done: int = 0) -> Bar:
    updates = spiral.PLAIN.updates_per_epoch
    return own.bar(unit="epoch", total=epochs, inner="update", each=updates, done=done, title=title)


def _compare(own: Session, epochs: int, adjoint: bool, seed: int) -> None:
    """Trains with both libraries in the same way, and times each after an epoch that warms it up."""
    import torchdiffeq

    name = "odeint_adjoint" if adjoint else "odeint"
    took: dict[str, float] = {}
    last: dict[str, float] = {}
    for library in (flashode, torchdiffeq):
        solve, title = getattr(library, name), f"spiral, {library.__name__}"
        _loss_after(own, 1, seed, solve, f"{title}, to warm up")
        began = time.perf_counter()
        last[library.__name__] = _loss_after(own, epochs, seed, solve, title)
        took[library.__name__] = time.perf_counter() - began
    own.note(
        compared_seconds=took,
        compared_loss=last,
        times_as_fast=took[_PEER] / took["flashode"],
    )


def _loss_after(own: Session, epochs: int, seed: int, solve: spiral.Solve, title: str) -> float:
    with _bar(own, epochs, title=title) as bar:
        *_, last = spiral.train(
            spiral.begin(seed), spiral.observe(), epochs=epochs, solve=solve, on_update=bar.update
        )
    return last.loss


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


def _leave(own: Session, history: list[spiral.Epoch], observations: spiral.Observations) -> None:
    from flashode.experiments.figures import spiral as figures  # matplotlib takes half a second to import

    metrics = own.metrics
    first, last = history[0].loss, history[-1].loss
    rows = [
        ("mean squared error before training", f"{first:.2e}"),
        (f"after {metrics['epochs']} epochs of {spiral.PLAIN.updates_per_epoch} updates", f"{last:.2e}"),
        ("largest error of an entry of A", f"{metrics['distance_to_true_matrix']:.1e}"),
        ("seconds of training", f"{metrics['training_seconds']:.2f}"),
    ]
    if "times_as_fast" in metrics:
        rows.append((f"times as fast as with {_PEER}", f"{metrics['times_as_fast']:.0f}"))
    own.leave(
        page.Page(
            "A linear neural ODE learns a spiral",
            "A 2×2 linear layer is trained on random segments of ten observations of a slow inward spiral, "
            f"each solved from its first observation with dopri5. In {CITATION}, such a layer learns the "
            f"spiral in {spiral.PUBLISHED_EPOCHS} epochs.",
            page.Table(("", "ours"), tuple(rows)),
            [
                page.Figure(
                    "trajectories.png",
                    partial(figures.draw_trajectories, history, observations),
                    "What the model predicts from the start at chosen epochs: in the phase plane, and over "
                    "time.",
                ),
                page.Figure(
                    "loss.png",
                    partial(figures.draw_loss, history),
                    "The error over the whole trajectory after each epoch.",
                ),
            ],
        )
    )
