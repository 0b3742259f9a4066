"""The command `flashode latent`."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashode.experiments import latent, page, results
from flashode.experiments.commands import resuming
from flashode.experiments.commands.choices import (
    ENGINE,
    SEED,
    EngineOption,
    OutOption,
    ResumeOption,
    SeedOption,
)
from flashode.experiments.session import Command, Session, session, tell
from flashode.experiments.training import Training

_MODEL = "latent ODE"  # the training's name in the file


def run(
    engine: EngineOption = ENGINE,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Epochs to train, of {latent.UPDATES_PER_EPOCH} updates.",
            show_default=f"{latent.EPOCHS}",
        ),
    ] = None,
    out: OutOption = Path("results/latent"),
    seed: SeedOption = None,
    resume: ResumeOption = None,
) -> None:
    """Learn spirals from noisy pieces by a latent ODE, and continue them."""
    earlier = resuming.Earlier.at(resume, "latent")
    seed = earlier.settled("seed", seed, SEED)
    epochs = earlier.epochs(epochs, latent.EPOCHS)
    training = latent.begin(seed)
    earlier.restore(_MODEL, training)
    history = earlier.history(latent.Epoch)
    command = Command(("latent",), out, engine, resume, {"epochs": epochs, "seed": seed})
    with session("latent", command, metrics=earlier.saved.metrics) as own:
        _train(own, training, history, epochs, seed)
        first, last = history[0], history[-1]
        tell(
            {
                "engine": str(own.metrics["engine"]),
                "cost": f"{own.metrics['training_seconds']:.1f} s",
                "evidence": f"{first.evidence:,.0f} nats a piece before training, {last.evidence:,.0f} after "
                f"{epochs} epochs",
                "error": f"{last.within:.3f} where points were seen (noise {latent.NOISE} a coordinate), "
                f"{last.ahead:.3f} ahead of them",
            }
        )
        own.leave(_page(own, training.model, history, seed))


def _train(
    own: Session, training: Training[latent.LatentODE], history: list[latent.Epoch], epochs: int, seed: int
) -> None:
    """Adds to the history."""
    spirals, test = latent.data(seed)[0], latent.held_out(seed)
    z = torch.zeros(latent.BATCH, latent.LATENT)
    own.note(engine=results.engine_of(training.model.dynamics, z, test.times))
    seconds = own.metrics.get("training_seconds", 0.0) - time.perf_counter()
    with own.bar(
        unit="epoch", total=epochs, inner="update", each=latent.UPDATES_PER_EPOCH, done=training.epoch
    ) as bar:
        for epoch in latent.train(training, spirals, test, epochs=epochs, on_update=bar.update):
            history.append(epoch)
            own.note(
                epochs=epoch.number,
                evidence=[past.evidence for past in history],
                error_within=[past.within for past in history],
                error_ahead=[past.ahead for past in history],
                training_seconds=seconds + time.perf_counter(),
            )
            own.keep({_MODEL: training}, {"epochs": [vars(past) for past in history]})


def _page(own: Session, model: latent.LatentODE, history: list[latent.Epoch], seed: int) -> page.Page:
    from flashode.experiments.figures import latent as figures  # matplotlib takes half a second to import

    first, last = history[0], history[-1]
    rows = (
        ("evidence, nats a piece", f"{first.evidence:,.0f}", f"{last.evidence:,.0f}"),
        ("error where points were seen", f"{first.within:.3f}", f"{last.within:.3f}"),
        ("error ahead of them", f"{first.ahead:.3f}", f"{last.ahead:.3f}"),
    )
    spirals = latent.held_out(seed)
    return page.Page(
        "A latent ODE continues spirals",
        f"A recurrent network reads {latent.SEEN} noisy points of a spiral, of either sense, into a latent "
        "state that flows along a neural ODE; points are read out of it, also where none were seen. Errors "
        f"are root mean squares over spirals held out, without noise; the noise is {latent.NOISE} a "
        f"coordinate. Training took {own.metrics['training_seconds']:.1f} s.",
        page.Table(("", "before training", f"after {last.number} epochs"), rows),
        [
            page.Figure(
                "spirals.png",
                partial(figures.draw_spirals, spirals, latent.predict(model, spirals)),
                "Spirals held out: the points seen, the truth, and the prediction, which goes on where "
                "none were seen.",
            ),
            page.Figure(
                "errors.png",
                partial(figures.draw_errors, history),
                "Errors of spirals held out after each epoch.",
            ),
        ],
    )
